"""CPO, SimPO and ORPO against TRL's trainers, from logits to the loss."""

import pytest
import torch
from torch.testing import assert_close

from tests.methods.direct.trl_stubs import (
    assert_parity,
    example,
    reference_free_whole,
    rows_of,
    trainer_class,
)
from workbench.methods.direct.length import simpo
from workbench.methods.direct.links import cpo, hinge, ipo, orpo, slic


def cpo_whole(batch, loss_type, beta, nll, **settings):
    """What CPOTrainer returns for a batch."""
    cls = trainer_class("trl.experimental.cpo", "CPOTrainer")
    options = {"label_smoothing": 0.0, "alpha": 0.0, "simpo_gamma": 0.0} | settings
    return reference_free_whole(
        cls, batch, loss_type=loss_type, beta=beta, cpo_alpha=nll, **options
    )


def cpo_losses(batch, loss_type, beta, nll=0.0, **settings):
    """The same for each pair as a batch of its own."""
    found = [cpo_whole(r, loss_type, beta, nll, **settings) for r in rows_of(batch)]
    return torch.stack(found)


def orpo_losses(batch, lam, attention=None):
    """What ORPOTrainer returns for each pair as a batch of its own."""
    cls = trainer_class("trl.experimental.orpo", "ORPOTrainer")
    rows = enumerate(rows_of(batch))
    seen = [None] * len(batch.policy_chosen) if attention is None else attention
    found = [reference_free_whole(cls, r, seen[i], beta=lam) for i, r in rows]
    return torch.stack(found)


def without_reference(batch):
    """The same pairs under a reference of log-prob 0: log-ratios are log-probs."""
    values = {name: getattr(batch, name) for name in batch.__dataclass_fields__}
    values |= {name: torch.zeros_like(v) for name, v in values.items() if "ref" in name}
    return type(batch)(**values)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 0.3])
@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_cpo_is_trl_cpo_on_one_pair(beta, alpha):
    batch = example()
    ours = cpo.loss(batch, cpo.Config(beta=beta, alpha=alpha))
    assert_parity(ours, cpo_losses(batch, "sigmoid", beta, nll=alpha), batch)


def test_cpo_of_trl_takes_one_token_mean_over_the_batch():
    """Example i weighs |y_i|/(mean length): the batch is not the mean of its pairs."""
    batch, alpha = example(), 0.7
    ours = cpo.loss(batch, cpo.Config(beta=0.5, alpha=alpha))
    preference = cpo.loss(batch, cpo.Config(beta=0.5, alpha=0.0))
    nll, length = (ours - preference) / alpha, batch.chosen_mask.sum(-1)
    weighed = preference + alpha * nll * length / length.double().mean()
    theirs = cpo_whole(batch, "sigmoid", 0.5, alpha)
    assert_parity(weighed.mean(), theirs, batch)
    assert (ours.mean() - theirs).abs() > 1e-3


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.6])
@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_simpo_is_trl_simpo_without_its_nll(beta, gamma):
    batch = example()
    ours = simpo.loss(batch, simpo.Config(beta=beta, gamma=gamma))
    theirs = cpo_losses(batch, "simpo", beta, simpo_gamma=gamma)
    assert_parity(ours, theirs, batch)


def test_simpo_of_trl_keeps_the_nll_of_cpo_by_default():
    """cpo_alpha is 1 there: the sum is SimPO and the NLL term of our CPO."""
    batch = example()
    nll = -batch.chosen.logps("mean")
    ours = simpo.loss(batch, simpo.Config(beta=2.0, gamma=0.5)) + nll
    theirs = cpo_losses(batch, "simpo", 2.0, nll=1.0, simpo_gamma=0.5)
    assert_parity(ours, theirs, batch)


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_hinge_of_trl_cpo_is_slic_times_beta(beta):
    """relu(1 − β·gap) + α·NLL per token = β·(relu(1/β − gap) + (α/β)·NLL per token)."""
    batch = example()
    theirs = cpo_losses(batch, "hinge", beta, nll=0.3)
    cfg = slic.Config(delta=1 / beta, lam=0.3 / beta, nll="mean")
    assert_parity(beta * slic.loss(batch, cfg), theirs, batch)
    bare = hinge.loss(without_reference(batch), hinge.Config(beta=beta))
    assert_parity(bare, cpo_losses(batch, "hinge", beta), batch)


@pytest.mark.parametrize("tau", [0.1, 2.0])
def test_ipo_of_trl_cpo_is_ours_over_means_without_a_reference(tau):
    batch = example()
    ours = ipo.loss(without_reference(batch), ipo.Config(tau=tau, reduce="mean"))
    assert_parity(ours, cpo_losses(batch, "ipo", tau), batch)


# the odds ratio of TRL is in single precision, whatever the log-probs are in
SINGLE = {"atol": 2e-6, "rtol": 2e-6}


@pytest.mark.parametrize("lam", [0.1, 1.0])
def test_orpo_is_trl_orpo_where_the_prompt_is_not_counted(lam):
    batch = example()
    ours = orpo.loss(batch, orpo.Config(lam=lam))
    assert_parity(ours, orpo_losses(batch, lam), batch, **SINGLE)


def test_orpo_of_trl_counts_the_prompt_in_its_nll():
    """Two prompt tokens before T response tokens: NLL per token of all T + 1 that are
    predicted. The odds are of the response alone."""
    batch = example(batch=6)
    wide = {
        name: torch.nn.functional.pad(getattr(batch, name).detach(), (1, 0))
        for name in batch.__dataclass_fields__
    }
    for side in ("chosen", "rejected"):
        wide[f"policy_{side}"][:, :2] = -1.7
    batch = type(batch)(**wide)
    seen = []
    for row in rows_of(batch):
        masks = [row.chosen_mask.clone(), row.rejected_mask.clone()]
        for mask in masks:
            mask[:, :2] = True
        seen.append(masks)
    theirs, lam = orpo_losses(batch, 0.4, seen), 0.4
    ours = orpo.loss(batch, orpo.Config(lam=lam))
    total, length = batch.chosen.logps(), batch.chosen_mask.sum(-1)
    with_prompt = -(total - 1.7) / (length + 1)
    assert_close(ours + total / length + with_prompt, theirs, **SINGLE)
    assert (ours - theirs).abs().max() > 0.1


def test_orpo_of_trl_is_not_finite_at_a_certain_response():
    """log(1 − e^0) = −∞ there; ours is finite and keeps its push."""
    batch = example(batch=1)
    values = {
        name: getattr(batch, name).detach() for name in batch.__dataclass_fields__
    }
    values["policy_rejected"] = torch.zeros_like(values["policy_rejected"])
    values["policy_rejected"].requires_grad_()
    certain = type(batch)(**values)
    ours = orpo.loss(certain, orpo.Config(lam=0.1))
    (push,) = torch.autograd.grad(ours.sum(), values["policy_rejected"])
    assert ours.isfinite().all()
    assert push.isfinite().all()
    assert push[certain.rejected_mask].min() > 0
    assert not orpo_losses(certain, 0.1).isfinite().all()


def test_alpha_po_of_trl_becomes_simpo_as_its_alpha_goes_to_zero():
    """r = (1 − p^−α)/α → log p; the transformation itself is not one of ours."""
    batch = example()
    ours = simpo.loss(batch, simpo.Config(beta=2.0, gamma=0.5))
    near, far = (
        cpo_losses(batch, "simpo", 2.0, simpo_gamma=0.5, alpha=a) for a in (1e-8, 0.5)
    )
    assert_close(ours, near, atol=1e-6, rtol=1e-6)
    assert (ours - far).abs().max() > 0.1
