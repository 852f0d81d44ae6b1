"""VPO by hand, the attainable value behind its term, and its equality with RPO."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import (
    F64,
    TREE,
    every_pair,
    random,
    random_logps,
    token_logps,
)
from tests.methods.pairwise import (
    all_pairs,
    pair,
    population_gradient,
    pulls,
    reference_gradients,
)
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.methods.direct.links import dpo
from workbench.methods.direct.pessimism import rpo, vpo_offline
from workbench.worlds.solutions import expectation, kl, log_partition, optimal_policy

CFG = vpo_offline.Config(beta=0.4, alpha=0.5)
HOPE = vpo_offline.Config(beta=0.4, alpha=0.5, sign=1)
BOTH = vpo_offline.Config(beta=0.4, alpha=0.5, calibration="both")
N = TREE.n_responses


def hand_batch():
    """d_c = 1.5 over two tokens, d_r = −1 over one; D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def check_hand_numbers(loss):
    """log(1 + e^−1), and ∓0.5 · 0.4 · 1.5 = ∓0.3; for both, −0.2 · (1.5 − 1)/2."""
    dpo_part = math.log1p(math.exp(-1))
    for cfg, term in ((CFG, -0.3), (HOPE, 0.3), (BOTH, -0.05)):
        assert_close(loss(hand_batch(), cfg).tolist(), [dpo_part + term])


def check_pushes(loss):
    """β σ(−βD) = 0.4/(1 + e) up and down; pessimism adds αβ = 0.2, or 0.1 each."""
    batch, pull = hand_batch(), 0.4 / (1 + math.e)
    for cfg, up, down in ((CFG, 0.2, 0), (HOPE, -0.2, 0), (BOTH, 0.1, 0.1)):
        chosen, rejected = pulls(loss, batch, cfg)
        assert_close(chosen, (pull + up) * batch.chosen_mask.to(F64))
        assert_close(rejected, (down - pull) * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    assert all(reference_gradients(loss, hand_batch(), c) == 0 for c in (CFG, BOTH))


def attainable(ref, reward, beta):
    """max_π E_π[r] − β KL(π‖π_ref), found as the worth of the optimum."""
    best = optimal_policy(ref, reward, beta)
    return expectation(best, reward) - beta * kl(best, ref)


def check_the_term_is_the_attainable_value_of_its_own_reward(loss):
    """E over y_c ~ π_cal: L − L_DPO = −s α J*(r), r = β log π/π_ref − E_cal[·]."""
    ref, cal = random_logps(1), random_logps(7)
    batch, (chosen, _) = all_pairs(random_logps(5), ref), every_pair(N)
    reward = 0.4 * (random_logps(5) - ref)
    value = attainable(ref, reward - expectation(cal, reward), 0.4)
    assert value > 0.05
    for cfg, sign in ((CFG, -1), (HOPE, 1)):
        extra = loss(batch, cfg) - dpo.loss(batch, dpo.Config(beta=0.4))
        assert_close(cal.exp()[chosen] @ extra / N, -sign * 0.5 * value)


def check_gradient_balances_errors_and_calibration(loss):
    """In the logits: −β {Σ_j w_kj [P_kj − σ(βD_kj)] − s α [π_cal − π]}."""
    ref, at = random_logps(1), random_logps(5)
    gold = 2 * random(2, N)
    prefers = (gold[:, None] - gold).sigmoid()
    weight = random(3, N, N).exp()
    weight = weight + weight.T
    weight = weight / (weight * prefers).sum()
    wins = (weight * prefers).sum(-1)
    half = (wins + (weight * prefers).sum(0)) / 2
    ratio = at - ref
    error = (weight * (prefers - (0.4 * (ratio[:, None] - ratio)).sigmoid())).sum(-1)
    for cfg, sign, cal in ((CFG, -1, wins), (HOPE, 1, wins), (BOTH, -1, half)):
        want = -0.4 * (error - sign * 0.5 * (cal - at.exp()))
        got = population_gradient(loss, cfg, at, ref, prefers, weight)
        assert_close(got, want)


CHECKS = [
    check_hand_numbers,
    check_pushes,
    check_reference_gets_no_gradient,
    check_the_term_is_the_attainable_value_of_its_own_reward,
    check_gradient_balances_errors_and_calibration,
]


def test_without_the_term_it_is_dpo():
    batch = all_pairs(random_logps(4), random_logps(1))
    want = dpo.loss(batch, dpo.Config(beta=0.4))
    got = vpo_offline.loss(batch, vpo_offline.Config(beta=0.4, alpha=0.0))
    assert_close(got, want)


def test_pessimism_calibrated_on_chosen_responses_is_cumulative_rpo():
    """Same gradient for every pair; the values differ by αβ log π_ref(y_c)."""
    batch, same = (
        all_pairs(random_logps(4), random_logps(1)),
        rpo.Config(beta=0.4, eta=0.5),
    )
    for mine, theirs in zip(
        pulls(vpo_offline.loss, batch, CFG), pulls(rpo.loss, batch, same), strict=True
    ):
        assert_close(mine, theirs)
    gap = vpo_offline.loss(batch, CFG) - rpo.loss(batch, same)
    assert_close(gap, 0.2 * random_logps(1)[every_pair(N)[0]])


def responses(policy, ref):
    """All responses, once each."""
    (tokens, mask), (ref_tokens, _) = token_logps(TREE, policy), token_logps(TREE, ref)
    return ResponseLogps(tokens, ref_tokens, mask)


def test_calibrated_on_the_reference_pessimism_is_a_forward_kl():
    """Value and gradient: E_ref[term] = −s αβ KL(π_ref‖π)."""
    ref, logits = random_logps(1), random_logps(5).requires_grad_()
    policy = logits.log_softmax(-1)
    divergence = kl(ref, policy)
    (want,) = torch.autograd.grad(divergence, logits, retain_graph=True)
    for cfg, sign in ((CFG, -1), (HOPE, 1)):
        term = vpo_offline.calibration_term(responses(policy, ref), cfg)
        total = ref.exp() @ term
        (got,) = torch.autograd.grad(total, logits, retain_graph=True)
        assert_close(total, -sign * 0.2 * divergence)
        assert_close(got, -sign * 0.2 * want)


def test_calibrated_on_the_policy_itself_nothing_is_learned():
    """E_π[∇ log π] = 0."""
    ref, logits = random_logps(1), random_logps(5).requires_grad_()
    policy = logits.log_softmax(-1)
    term = vpo_offline.calibration_term(responses(policy, ref), CFG)
    (got,) = torch.autograd.grad(policy.detach().exp() @ term, logits)
    assert got.abs().max() < 1e-15


def test_attainable_value_of_any_reward_is_beta_log_z_less_its_calibration():
    ref, cal, reward = random_logps(1), random_logps(7), 2 * random(8, N)
    shifted = reward - expectation(cal, reward)
    want = 0.4 * log_partition(ref, reward, 0.4) - expectation(cal, reward)
    assert_close(attainable(ref, shifted, 0.4), want)


def test_attainable_value_of_an_implicit_reward_is_its_mean_log_ratio_under_cal():
    ref, cal, at = random_logps(1), random_logps(7), random_logps(5)
    reward = 0.4 * (at - ref)
    shifted = reward - expectation(cal, reward)
    assert_close(attainable(ref, shifted, 0.4), -0.4 * expectation(cal, at - ref))
