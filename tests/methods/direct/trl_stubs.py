"""TRL's own loss code on given log-probs: what it reads of a trainer is a stand-in.

The methods ``_compute_loss`` (DPO, KTO) and ``get_batch_loss_metrics`` (CPO, ORPO) run
as they are. They return one number per batch, so every example needs its own batch.
"""

import functools
import importlib
import warnings
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from workbench.feedback.kinds.pairs import PairLogps

EXACT = {"atol": 1e-6, "rtol": 1e-6}


@functools.lru_cache
def trainer_class(module: str, name: str):
    """A trainer of TRL; the test is skipped where TRL is not installed."""
    pytest.importorskip("trl", reason="TRL is the optional extra `oracle`")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations and experiments
        return getattr(importlib.import_module(module), name)


def state(cls, **settings):
    """A trainer that was never initialised, with the attributes that a loss reads."""
    trainer, model = object.__new__(cls), torch.nn.Module()
    model.is_gradient_checkpointing = False
    vars(trainer).update(
        model=model,
        accelerator=SimpleNamespace(
            device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x
        ),
        args=SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=0.05),
        precompute_ref_logps=False,
        aux_loss_enabled=False,
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )
    vars(trainer).update(settings)
    return trainer


def answer(logps, mask, log_squares=None):
    """A model that answers with these token log-probs, 0 where the mask is False.

    TRL's log-probs have no first column: position t predicts token t + 1.
    """
    zero = torch.zeros_like(logps)
    squares = zero if log_squares is None else log_squares
    outputs = SimpleNamespace(
        log_probs=torch.where(mask, logps, 0.0)[:, 1:],
        log_sum_sq_probs=torch.where(mask, squares, 0.0)[:, 1:],
        entropy=zero[:, 1:],
        mean_logits=zero[:, 1:],
        is_top1=torch.zeros_like(mask[:, 1:]),
    )
    return lambda **_: outputs


def stacked(batch, name):
    """The chosen rows of a field, then the rejected ones, as TRL lays them out."""
    if name == "mask":
        return torch.cat([batch.chosen_mask, batch.rejected_mask])
    return torch.cat([getattr(batch, f"{name}_{side}") for side in SIDES])


SIDES = ("chosen", "rejected")


def dpo_whole(batch, loss_type, beta, log_squares=None, **settings):
    """What DPOTrainer returns for a batch: one number."""
    cls = trainer_class("trl", "DPOTrainer")
    mask = stacked(batch, "mask")
    trainer = state(
        cls,
        beta=beta,
        ref_model=answer(stacked(batch, "ref"), mask),
        **{
            "loss_types": [loss_type],
            "loss_weights": [1.0],
            "label_smoothing": 0.0,
            "f_divergence_type": "reverse_kl",
            "ld_alpha": None,
            "use_weighting": False,
        }
        | settings,
    )
    inputs = {
        "input_ids": torch.zeros_like(mask, dtype=torch.long),
        "attention_mask": torch.ones_like(mask, dtype=torch.long),
        "completion_mask": mask.long(),
    }
    model = answer(stacked(batch, "policy"), mask, log_squares)
    return cls._compute_loss(trainer, model, inputs, False)


def rows_of(batch):
    """Batches of one pair each."""
    names = PairLogps.__dataclass_fields__
    for row in range(len(batch.policy_chosen)):
        yield PairLogps(*(getattr(batch, name)[row : row + 1] for name in names))


def dpo_losses(batch, loss_type, beta, **settings):
    """What DPOTrainer returns for each pair as a batch of its own."""
    found = [dpo_whole(row, loss_type, beta, **settings) for row in rows_of(batch)]
    return torch.stack(found)


def two_token_model(logps):
    """Logits over two tokens that give token 1 these log-probs, one position ahead."""
    unsure = torch.where(logps < 0, logps, -1.0)
    other = torch.where(logps < 0, torch.log1p(-unsure.exp()), -200.0)
    both = torch.stack([other, logps], dim=-1)
    ahead = torch.cat([both[:, 1:], torch.zeros_like(both[:, :1])], dim=1)
    return lambda *_, **__: SimpleNamespace(logits=ahead)


def reference_free_whole(cls, batch, attention=None, **settings):
    """What CPOTrainer or ORPOTrainer returns for a batch: one number.

    Args:
        cls: the trainer.
        batch: pairs; the reference is not read.
        attention: positions that hold a token, response tokens unless told.
        settings: attributes of the trainer.
    """
    trainer = state(
        cls, is_encoder_decoder=False, pad_token_id=0, padding_value=0, **settings
    )
    inputs = {}
    for k, side in enumerate(SIDES):
        mask = getattr(batch, f"{side}_mask")
        seen = mask if attention is None else attention[k]
        inputs[f"{side}_input_ids"] = torch.ones_like(mask, dtype=torch.long)
        inputs[f"{side}_attention_mask"] = seen.long()
        inputs[f"{side}_labels"] = torch.where(mask, 1, -100)
    model = two_token_model(stacked(batch, "policy"))
    loss, _ = trainer.get_batch_loss_metrics(model, inputs)
    return loss


def example(seed=3, batch=32, time=9, dtype=torch.float64):
    """Random pairs of unequal lengths; the gradient of the policy is wanted."""
    generator = torch.Generator().manual_seed(seed)
    found = PairLogps.example(generator, batch=batch, time=time, dtype=dtype)
    found.policy_chosen.requires_grad_()
    found.policy_rejected.requires_grad_()
    return found


def assert_parity(ours, theirs, batch, **tolerance):
    """Values agree, and so do gradients in every token of the policy."""
    tolerance = tolerance or EXACT
    assert_close(ours, theirs, **tolerance)
    policy = (batch.policy_chosen, batch.policy_rejected)
    mine, other = (
        torch.autograd.grad(x.sum(), policy, retain_graph=True, allow_unused=True)
        for x in (ours, theirs)
    )
    for one, two, value in zip(mine, other, policy, strict=True):
        one, two = (torch.zeros_like(value) if g is None else g for g in (one, two))
        assert_close(one, two, **tolerance)
