"""DPO and IPO against TRL's own loss code, on random log-probs.

``DPOTrainer._compute_loss`` runs as it is; the model it calls is replaced by one that
answers with given log-probs. It returns a mean, so each pair is a batch of its own.
"""

import warnings
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from workbench.core.batches import PairLogps
from workbench.methods.offline import dpo, ipo

EXACT = {"atol": 1e-6, "rtol": 1e-6}


@pytest.fixture(scope="module")
def trainer_class():
    pytest.importorskip("trl", reason="TRL is the optional extra `oracle`")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations
        from trl import DPOTrainer
    return DPOTrainer


def trainer_state(loss_type, beta):
    """What the loss reads of a trainer."""
    return SimpleNamespace(
        model=SimpleNamespace(training=True),
        accelerator=SimpleNamespace(
            device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x
        ),
        args=SimpleNamespace(),
        beta=beta,
        loss_types=[loss_type],
        loss_weights=[1.0],
        label_smoothing=0.0,
        f_divergence_type="reverse_kl",
        ld_alpha=None,
        precompute_ref_logps=True,
        use_weighting=False,
        aux_loss_enabled=False,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )


def trl_losses(trainer_class, batch, loss_type, beta):
    """One value a pair. TRL's log-probs have no first column and 0 where masked."""
    sides = [
        (batch.policy_chosen, batch.ref_chosen, batch.chosen_mask),
        (batch.policy_rejected, batch.ref_rejected, batch.rejected_mask),
    ]
    values = []
    for row in range(len(batch.policy_chosen)):
        policy, ref, mask = (
            torch.stack([side[k][row] for side in sides]) for k in range(3)
        )
        answer = SimpleNamespace(
            log_probs=torch.where(mask, policy, 0.0)[:, 1:],
            entropy=torch.zeros_like(policy[:, 1:]),
            mean_logits=torch.zeros_like(policy[:, 1:]),
            is_top1=torch.zeros_like(mask[:, 1:]),
        )
        summed = torch.where(mask, ref, 0.0).sum(-1)
        inputs = {
            "input_ids": torch.zeros_like(mask, dtype=torch.long),
            "attention_mask": torch.ones_like(mask, dtype=torch.long),
            "completion_mask": mask.long(),
            "ref_chosen_logps": summed[:1],
            "ref_rejected_logps": summed[1:],
        }
        state = trainer_state(loss_type, beta)

        def model(answer=answer, **_):
            return answer

        values.append(trainer_class._compute_loss(state, model, inputs, False))
    return torch.stack(values)


def example():
    batch = PairLogps.example(torch.Generator().manual_seed(3), batch=32, time=9)
    batch.policy_chosen.requires_grad_()
    batch.policy_rejected.requires_grad_()
    return batch


def assert_parity(ours, theirs, batch):
    assert_close(ours, theirs, **EXACT)
    policy = (batch.policy_chosen, batch.policy_rejected)
    mine = torch.autograd.grad(ours.sum(), policy, retain_graph=True)
    other = torch.autograd.grad(theirs.sum(), policy, retain_graph=True)
    for one, two in zip(mine, other, strict=True):
        assert_close(one, two, **EXACT)


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_dpo_is_trl_sigmoid_in_value_and_gradient(trainer_class, beta):
    batch = example()
    theirs = trl_losses(trainer_class, batch, "sigmoid", beta)
    assert_parity(dpo.loss(batch, dpo.Config(beta=beta)), theirs, batch)


@pytest.mark.parametrize("tau", [0.1, 0.5, 2.0])
def test_ipo_over_token_means_is_trl_ipo_in_value_and_gradient(trainer_class, tau):
    batch = example()
    theirs = trl_losses(trainer_class, batch, "ipo", tau)
    assert_parity(ipo.loss(batch, ipo.Config(tau=tau, reduce="mean")), theirs, batch)


def test_ipo_of_the_paper_differs_from_trl_by_the_length_squared(trainer_class):
    """Both responses of T tokens: TRL's D is D/T, and its target is nats a token.

    T² (D/T − 1/(2τ))² = (D − 1/(2τ/T))²: the paper's loss at τ/T is T² times TRL's
    at τ.
    """
    batch = PairLogps.example(torch.Generator().manual_seed(4), batch=8, time=6)
    full = torch.zeros(8, 6, dtype=torch.bool)
    full[:, 1:] = True
    held = [getattr(batch, f) for f in batch.__dataclass_fields__][:4]
    batch = PairLogps(*(x - 0.5 for x in held), full, full)
    tau, length = 0.3, 5
    theirs = trl_losses(trainer_class, batch, "ipo", tau)
    paper = ipo.loss(batch, ipo.Config(tau=tau / length))
    assert_close(paper, length**2 * theirs, **EXACT)
    assert (ipo.loss(batch, ipo.Config(tau=tau)) - theirs).abs().max() > 0.1


def test_ipo_over_sums_is_not_trl_ipo(trainer_class):
    batch = example()
    theirs = trl_losses(trainer_class, batch, "ipo", 0.1)
    assert (ipo.loss(batch, ipo.Config()) - theirs).abs().min() > 1e-6
