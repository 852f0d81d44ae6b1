"""Losses of single responses and of lists, and sums of losses, against TRL's."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.direct.trl_stubs import (
    EXACT,
    answer,
    assert_parity,
    dpo_losses,
    example,
    state,
    trainer_class,
)
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.thumbs import ThumbLogps
from workbench.methods.direct.links import apo_zero, cpo, discopop, dpo, hinge, orpo
from workbench.methods.direct.lists import nca
from workbench.methods.direct.pessimism import rpo
from workbench.methods.direct.unpaired import bco, kto

MISMATCHED = 1  # token that marks the rows whose log-ratio is the reference point


def thumbs(pairs: PairLogps, up: bool, mean=0.0) -> ThumbLogps:
    """The chosen (up) or rejected (down) responses of pairs, each judged alone."""
    side = pairs.chosen if up else pairs.rejected
    rows = torch.full((len(side.mask),), up)
    shift = torch.full_like(side.logps().detach(), mean)
    return ThumbLogps(
        policy=side.policy, ref=side.ref, mask=side.mask, up=rows,
        reference_point=shift, reference_mean=shift,
    )  # fmt: skip


def two_answers(first, second):
    """A model that answers mismatched rows with the second of two answers."""

    def model(input_ids, **_) -> SimpleNamespace:
        return (second if (input_ids == MISMATCHED).any() else first)()

    return model


def kto_whole(batch, mismatched, beta, loss_type="kto", **weights):
    """What KTOTrainer returns for a batch and its mismatched responses: one number."""
    cls = trainer_class("trl", "KTOTrainer")
    main, other = batch.mask, mismatched.mask
    defaults = {"desirable_weight": 1.0, "undesirable_weight": 1.0} | weights
    trainer = state(
        cls,
        beta=beta,
        loss_type=loss_type,
        calculate_KL=loss_type == "kto",
        ref_model=two_answers(answer(batch.ref, main), answer(mismatched.ref, other)),
        **defaults,
    )
    inputs = {
        "input_ids": torch.zeros_like(main, dtype=torch.long),
        "attention_mask": torch.ones_like(main, dtype=torch.long),
        "completion_mask": main.long(),
        "KL_input_ids": torch.full(other.shape, MISMATCHED),
        "KL_attention_mask": torch.ones_like(other, dtype=torch.long),
        "KL_completion_mask": other.long(),
        "label": batch.up,
    }
    policy = answer(batch.policy, main), answer(mismatched.policy, other)
    return cls._compute_loss(trainer, two_answers(*policy), inputs, False)


def thumb_example(seed=5, batch=16, lowered=0.0):
    """Random thumbs, and mismatched rows that the policy likes less, nats per token."""
    generator = torch.Generator().manual_seed(seed)
    drawn = ThumbLogps.example(generator, batch=batch, time=7)
    other = ThumbLogps.example(generator, batch=batch, time=9)
    drawn.policy.requires_grad_()
    other = dataclasses.replace(other, policy=other.policy - lowered)
    other.policy.requires_grad_()
    return drawn, other


@pytest.mark.parametrize(("lowered", "sign"), [(0.0, 1), (2.0, -1)])
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_kto_is_the_mean_that_trl_takes(beta, lowered, sign):
    """Value and gradient, at reference points on both sides of the clamp at 0."""
    batch, other = thumb_example(lowered=lowered)
    point = other.logratio().mean().expand(len(batch.up))
    assert point[0] * sign > 0
    cfg = kto.Config(beta=beta, desirable=1.3, undesirable=0.6)
    ours = kto.loss(dataclasses.replace(batch, reference_point=point), cfg).mean()
    theirs = kto_whole(batch, other, beta, desirable_weight=1.3, undesirable_weight=0.6)
    assert_close(ours, theirs, **EXACT)
    (mine,), (its,) = (torch.autograd.grad(x, [batch.policy]) for x in (ours, theirs))
    assert_close(mine, its, **EXACT)


def test_trl_lets_no_gradient_into_the_mismatched_responses():
    batch, other = thumb_example()
    (found,) = torch.autograd.grad(
        kto_whole(batch, other, 0.5), [other.policy], allow_unused=True
    )
    assert found is None


def test_apo_zero_unpaired_of_trl_is_kto_around_zero():
    batch, other = thumb_example()
    zero = torch.zeros_like(batch.reference_point)
    around = dataclasses.replace(batch, reference_point=zero)
    ours = kto.loss(around, kto.Config(beta=0.5)).mean()
    theirs = kto_whole(batch, other, 0.5, loss_type="apo_zero_unpaired")
    assert_close(ours, theirs, **EXACT)


def test_apo_zero_on_pairs_is_the_sum_of_both_thumbs():
    batch = example()
    cfg = kto.Config(beta=0.5)
    ours = kto.loss(thumbs(batch, True), cfg) + kto.loss(thumbs(batch, False), cfg)
    assert_parity(ours, dpo_losses(batch, "apo_zero", 0.5), batch)
    assert_close(ours, apo_zero.loss(batch, apo_zero.Config(beta=0.5)))


def test_bco_pair_of_trl_has_no_delta():
    """Its two logits are s_c and −s_r; with δ the loss is another one."""
    batch = example()
    theirs = dpo_losses(batch, "bco_pair", 0.5)

    def both(mean, centred):
        cfg = bco.Config(beta=0.5, centred=centred)
        up, down = thumbs(batch, True, mean), thumbs(batch, False, mean)
        return bco.loss(up, cfg) + bco.loss(down, cfg)

    assert_parity(both(1.5, False), theirs, batch)
    assert_parity(both(0.0, True), theirs, batch)
    assert (both(1.5, True) - theirs).abs().max() > 0.1


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_nca_on_lists_of_two_with_hard_targets_is_trl_nca_pair(beta):
    """Scores 1 and 0 at α = 1/1000: the target is (1, 0) to the last digit.

    The rejected response stands first in every second list: scores come in no order.
    """
    batch = example()
    turned = torch.arange(len(batch.policy_chosen)) % 2 == 1

    def two(chosen, rejected):
        swap = turned.reshape(-1, *[1] * chosen.ndim)
        both = torch.stack([chosen, rejected], dim=1)
        return torch.where(swap, both.flip(1), both)

    one = torch.ones_like(batch.policy_chosen[:, 0]).detach()
    lists = ListLogps(
        policy=two(batch.policy_chosen, batch.policy_rejected),
        ref=two(batch.ref_chosen, batch.ref_rejected),
        mask=two(batch.chosen_mask, batch.rejected_mask),
        scores=two(one, 0 * one),
        proposal=two(one, one),
    )
    cfg = nca.Config(beta=beta, alpha=1e-3)
    theirs = dpo_losses(batch, "nca_pair", beta)
    assert_parity(nca.loss(lists, cfg), theirs, batch)
    soft = nca.loss(lists, nca.Config(beta=beta, alpha=1.0))
    assert (soft - theirs).abs().max() > 1e-2


def test_rpo_over_means_is_trl_sigmoid_plus_sft():
    """The average form: TRL adds η times its SFT loss, without β."""
    batch = example()
    theirs = dpo_losses(
        batch, "", 0.5, loss_types=["sigmoid", "sft"], loss_weights=[1.0, 0.2]
    )
    cfg = rpo.Config(beta=0.5, eta=0.2, reduce="mean", times_beta=False)
    assert_parity(rpo.loss(batch, cfg), theirs, batch)


# ---- defaults ---------------------------------------------------------------------

DPO, CPO, ORPO, KTO = (
    ("trl", "DPOConfig"),
    ("trl.experimental.cpo", "CPOConfig"),
    ("trl.experimental.orpo", "ORPOConfig"),
    ("trl", "KTOConfig"),
)
SAID = [
    (dpo, "beta", DPO, "beta"),
    (hinge, "beta", DPO, "beta"),
    (apo_zero, "beta", DPO, "beta"),
    (discopop, "beta", DPO, "beta"),
    (discopop, "tau", DPO, "discopop_tau"),
    (cpo, "beta", CPO, "beta"),
    (cpo, "alpha", CPO, "cpo_alpha"),
    (orpo, "lam", ORPO, "beta"),
    (kto, "beta", KTO, "beta"),
    (kto, "desirable", KTO, "desirable_weight"),
    (kto, "undesirable", KTO, "undesirable_weight"),
]


@pytest.mark.parametrize(
    ("module", "field", "where", "theirs"),
    [pytest.param(*row, id=f"{row[0].card.key}-{row[1]}") for row in SAID],
)
def test_a_default_that_is_said_to_be_trls_is(module, field, where, theirs):
    defaults = {f.name: f.default for f in dataclasses.fields(trainer_class(*where))}
    assert getattr(module.Config(), field) == defaults[theirs]
