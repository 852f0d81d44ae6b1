"""SLiC by hand, against the hinge, and the SFT distribution as its minimiser."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.pairwise import (
    all_pairs,
    pair,
    population_gradient,
    pulls,
    reference_gradients,
)
from workbench.feedback.kinds.pairs import PairLogps
from workbench.methods.direct.links import hinge, slic

CFG = slic.Config(delta=2.5, lam=0.25)
N = TREE.n_responses


def hand():
    """One pair: log π(y_c) = −1 − 2 = −3, log π(y_r) = −4.5, so M = 1.5."""
    return pair([-1.0, -2.0], [-4.5], [-2.0, -2.5], [-2.0])


def check_hand_number(loss):
    """2.5 − 1.5 = 1 of the hinge and 0.25 · 3 of the SFT term."""
    assert_close(loss(hand(), CFG).tolist(), [1.75])


def check_hand_number_of_the_mean(loss):
    """The SFT term in nats per token: 0.25 · 3/2; the hinge stays as it is."""
    cfg = slic.Config(delta=2.5, lam=0.25, nll="mean")
    assert_close(loss(hand(), cfg).tolist(), [1.375])


def check_pushes_of_both_terms(loss):
    """On tokens of y_c 1 + λ, or 1 + λ/2 for the mean of two; on those of y_r −1."""
    batch = hand()
    for nll, push in (("sum", 1.25), ("mean", 1.125)):
        up, down = pulls(loss, batch, slic.Config(delta=2.5, lam=0.25, nll=nll))
        assert_close(up, push * batch.chosen_mask.to(F64))
        assert_close(down, -1.0 * batch.rejected_mask.to(F64))


def check_past_the_margin_the_sft_term_is_left(loss):
    """δ = 1 < M = 1.5: value λ·3 and push λ on y_c, nothing on y_r."""
    batch, cfg = hand(), slic.Config(delta=1.0, lam=0.25)
    assert_close(loss(batch, cfg).tolist(), [0.75])
    up, down = pulls(loss, batch, cfg)
    assert_close(up, 0.25 * batch.chosen_mask.to(F64))
    assert down.abs().max() == 0


def check_the_reference_is_not_read(loss):
    """Another reference changes no value."""
    batch = hand()
    other = replace(batch, ref_chosen=batch.ref_chosen - 7 * random(1, 1, 4).abs())
    assert_close(loss(other, CFG), loss(batch, CFG), rtol=0, atol=0)
    assert reference_gradients(loss, batch, CFG) == 0


def check_the_sft_distribution_is_the_minimiser_if_it_reaches_all_margins(loss):
    """Chosen responses have the distribution p; log p falls by 1.1·δ from rank to rank.

    No hinge is active at π = p, and the gradient of the SFT term is π − p = 0.
    """
    rank = torch.arange(N, dtype=F64).roll(5)
    chosen = (1.1 * CFG.delta * rank).log_softmax(-1)
    above = (rank[:, None] > rank).to(F64)
    share = above / above.sum(-1, keepdim=True).clamp(min=1)
    weight = chosen.exp()[:, None] * share
    at = chosen
    gradient = population_gradient(
        loss, CFG, at, random_logps(1), torch.ones_like(weight), weight
    )
    # the lowest response is never chosen; at p it still has this probability
    assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_hand_number_of_the_mean,
    check_pushes_of_both_terms,
    check_past_the_margin_the_sft_term_is_left,
    check_the_reference_is_not_read,
    check_the_sft_distribution_is_the_minimiser_if_it_reaches_all_margins,
]


def even(batch: PairLogps) -> PairLogps:
    """The same pairs under a reference that gives every response e^−6."""

    def shared(mask):
        return torch.where(mask, -6.0 / mask.sum(-1, keepdim=True), -1.0).to(F64)

    return replace(
        batch,
        ref_chosen=shared(batch.chosen_mask),
        ref_rejected=shared(batch.rejected_mask),
    )


@pytest.mark.parametrize("gamma", [0.05, 0.7, 3.0])
def test_hinge_is_gamma_times_slic_where_the_reference_is_even_on_each_pair(gamma):
    batch = all_pairs(random_logps(4, scale=3.0), random_logps(1))
    cfg, free = hinge.Config(beta=gamma), slic.Config(delta=1 / gamma, lam=0.0)
    same = even(batch)
    assert_close(hinge.loss(same, cfg), gamma * slic.loss(same, free))
    ours, theirs = pulls(hinge.loss, same, cfg), pulls(slic.loss, same, free)
    for one, two in zip(ours, theirs, strict=True):
        assert_close(one, gamma * two)
    # and only there
    apart = hinge.loss(batch, cfg) - gamma * slic.loss(batch, free)
    assert apart.abs().max() > 0.1


def test_a_long_rejected_response_satisfies_the_hinge_before_training():
    """Ten tokens of −1 against two: M = 8 > δ, though each token is as likely."""
    batch = pair([-1.0] * 2, [-1.0] * 10, [-1.0] * 2, [-1.0] * 10)
    free = slic.Config(delta=2.5, lam=0.0)
    assert slic.loss(batch, free).tolist() == [0.0]
    assert hinge.loss(batch, hinge.Config(beta=1 / 2.5)).tolist() == [1.0]
