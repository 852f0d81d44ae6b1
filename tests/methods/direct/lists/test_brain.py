"""BRAIn by hand, its gradient, and no variance at the optimum."""

import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    lists_of,
    logit_gradients,
    off,
    pulls,
    shifted,
    some_members,
    with_logratios,
)
from workbench.feedback.kinds.lists import ListLogps
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import brain, infonca
from workbench.worlds.solutions import log_partition, optimal_policy

CFG = brain.Config(beta=0.5)
N = TREE.n_responses
REF, REWARD, PROPOSAL = random_logps(1), 2 * random(2, N), random_logps(3)
BEST = optimal_policy(REF, REWARD, CFG.beta)
GDC = brain.mistakes["5 no self-normalisation"]
DPG = brain.mistakes["4 no baseline"]


def hand_batch():
    """One list: π/q′ = (1, 2, 4) and π_ref e^{r/β}/q′ = (1, 3, 2).

    log q′ = log π − log(1, 2, 4), r/β = log(1, 3, 2) − log π_ref + log q′.
    """
    d = torch.tensor([0.8, -1.2, 0.5], dtype=F64)
    ratio, weight = torch.tensor([[1.0, 2, 4], [1, 3, 2]], dtype=F64).log()
    logps = torch.tensor([-10.5, -5, -14], dtype=F64) + d
    return with_logratios(d, CFG.beta * (weight + d - ratio), logps - ratio)


def check_hand_number(loss):
    """−Σ â log b̂ = log(7)/6 + log(7/2)/2 + log(7/4)/3."""
    want = math.log(7) / 6 + math.log(7 / 2) / 2 + math.log(7 / 4) / 3
    assert_close(loss(hand_batch(), CFG).tolist(), [want])


def check_push_is_the_difference_of_the_weights(loss):
    """â − b̂ = (7 − 6, 21 − 12, 14 − 24)/42, the same on every token of a response."""
    batch = hand_batch()
    want = torch.tensor([1.0, 9, -10], dtype=F64)[None, :, None] / 42
    assert_close(pulls(loss, batch, CFG), want * batch.mask)


def check_reference_scores_and_proposal_are_constants(loss):
    """No gradient reaches them."""
    assert constant_gradient(loss, hand_batch(), CFG) == 0


def check_every_sampled_gradient_is_zero_at_the_optimum(loss):
    """π = π*_β: â = b̂ on every list, also where a response came twice."""
    members = torch.cat([some_members(4), torch.tensor([[0, 0, 5], [7, 7, 7]])])
    found = logit_gradients(loss, CFG, BEST, REF, REWARD, members, PROPOSAL)
    assert found.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_push_is_the_difference_of_the_weights,
    check_reference_scores_and_proposal_are_constants,
    check_every_sampled_gradient_is_zero_at_the_optimum,
]


def test_evidence_is_a_constant_log_weight():
    """log(1, 3, 2), into which no gradient flows."""
    batch = hand_batch()
    found = brain.evidence(replace(batch, ref=batch.ref.requires_grad_()), CFG)
    assert not found.requires_grad
    assert_close(found.exp(), torch.tensor([[1.0, 3, 2]], dtype=F64))


def gradients(loss, at, rewards):
    """Of 20 sampled lists, in the logits."""
    return logit_gradients(loss, CFG, at, REF, rewards, some_members(4), PROPOSAL)


def test_another_policy_is_not_at_rest():
    found = gradients(brain.loss, off(BEST), REWARD)
    assert found.abs().amax(-1).min() > 1e-4


def test_gdc_has_no_variance_at_the_optimum_only_if_z_is_known_and_dpg_always_has():
    """Rewards less β log Z make Z = 1; 0.1 more is an unknown Z. BRAIn sees neither."""
    known = REWARD - CFG.beta * log_partition(REF, REWARD, CFG.beta)
    assert gradients(GDC, BEST, known).abs().max() < 1e-12
    assert gradients(GDC, BEST, known + 0.1).abs().amax(-1).min() > 1e-3
    assert gradients(DPG, BEST, known).abs().amax(-1).min() > 1e-3
    for rewards in (known, known + 0.1):
        assert gradients(brain.loss, BEST, rewards).abs().max() < 1e-12


def test_dpg_and_gdc_have_the_gradient_of_the_forward_kl_on_average():
    """E over q′ of both, with Z = 1, is −Σ π* ∇log π; BRAIn's is not, for small n."""
    rewards = REWARD - CFG.beta * log_partition(REF, REWARD, CFG.beta)
    at = off(BEST)
    wanted = at.softmax(-1) - BEST.exp()
    single = torch.arange(N)[:, None]
    for loss in (DPG, GDC):
        each = logit_gradients(loss, CFG, at, REF, rewards, single, PROPOSAL)
        assert_close(PROPOSAL.exp() @ each, wanted)
    members = torch.cartesian_prod(torch.arange(N), torch.arange(N))
    chance = PROPOSAL.exp()[members].prod(-1)
    each = logit_gradients(brain.loss, CFG, at, REF, rewards, members, PROPOSAL)
    assert (chance @ each - wanted).abs().max() > 1e-2


def toy(loss, mean, n=8, repeats=4000):
    """Gradient in θ of N(θ, 1) at θ = 1, towards N(0, 1), from draws of N(mean, 1).

    The authors' experiment: variance and mean over repeated lists. KL(N(0, 1)‖N(θ, 1))
    has the gradient θ = 1.
    """
    generator = torch.Generator().manual_seed(1)
    x = mean + torch.randn(repeats, n, 1, generator=generator, dtype=F64)
    theta = torch.ones(repeats, 1, 1, dtype=F64, requires_grad=True)
    policy, ref, drawn = (-((x - m) ** 2) / 2 for m in (theta, 0.0, mean))
    mask, scores = torch.ones_like(x, dtype=torch.bool), torch.zeros_like(x[..., 0])
    batch = ListLogps(policy, ref, mask, scores, drawn[..., 0])
    value = loss(batch, brain.Config(beta=1.0)).sum()
    (found,) = torch.autograd.grad(value, theta)
    return found.var().item(), found.mean().item()


def test_far_from_the_posterior_brain_varies_least_and_near_it_dpg_does():
    """On policy 0.18, 1.4 and 1.8; with draws of the posterior DPG has 0.13 to 0.17."""
    far = {loss: toy(loss, 1.0)[0] for loss in (brain.loss, GDC, DPG)}
    assert 4 * far[brain.loss] < far[GDC] < far[DPG]
    near = {loss: toy(loss, 0.0)[0] for loss in (brain.loss, GDC, DPG)}
    assert near[DPG] < near[brain.loss] < near[GDC]


def test_brain_pays_for_its_low_variance_with_a_bias():
    """The gradient of KL is 1; eight draws give about 0.78, GDC++ about 1."""
    assert 0.7 < toy(brain.loss, 1.0)[1] < 0.85
    assert toy(GDC, 1.0)[1] == pytest.approx(1, abs=0.1)
    assert toy(brain.loss, 1.0, n=64, repeats=1000)[1] > 0.93


def test_draws_of_the_reference_make_it_infonca():
    """q′ = π_ref: α = β, and nothing multiplies the log-ratios."""
    batch = lists_of(random_logps(4), REF, REWARD, some_members(5))
    want = infonca.loss(batch, infonca.Config(beta=1.0, alpha=CFG.beta))
    assert_close(brain.loss(batch, CFG), want)


def test_two_draws_of_the_reference_with_a_hard_target_are_dpo_at_beta_one():
    batch = lists_of(
        random_logps(4), REF, torch.zeros(N, dtype=F64), some_members(5, group=2)
    )
    batch.scores[:, 0] += 1
    want = dpo.loss(as_pairs(batch), dpo.Config(beta=1.0))
    assert_close(brain.loss(batch, brain.Config(beta=1e-3)), want)


def test_only_differences_in_a_list_count():
    """Of log-probs (softmax), of rewards (Z) and of log q′ (its normaliser)."""
    batch = hand_batch()
    value = brain.loss(batch, CFG)
    assert_close(brain.loss(shifted(batch, 0.7), CFG), value)
    raised = replace(batch, scores=batch.scores + 3, proposal=batch.proposal - 2)
    assert_close(brain.loss(raised, CFG), value)
