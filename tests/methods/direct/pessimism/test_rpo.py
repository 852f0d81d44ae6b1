"""RPO by hand, its fixed point, and the adversary behind its SFT term."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, every_pair, random, random_logps
from tests.methods.pairwise import (
    all_pairs,
    pair,
    population_gradient,
    pulls,
    reference_gradients,
)
from workbench.methods.direct.links import dpo
from workbench.methods.direct.pessimism import rpo
from workbench.methods.supervised import sft
from workbench.worlds.solutions import expectation, kl, optimal_policy

SUM = rpo.Config(beta=0.4, eta=0.5)
MEAN = rpo.Config(beta=0.4, eta=0.5, reduce="mean", times_beta=False)
N = TREE.n_responses


def hand_batch():
    """d_c = 1.5 over two tokens with log π = −3; d_r = −1 over one; D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def check_hand_numbers(loss):
    """log(1 + e^−1), plus 0.5 · 0.4 · 3 = 0.6, or plus 0.5 · 3/2 = 0.75."""
    dpo_part = math.log1p(math.exp(-1))
    assert_close(loss(hand_batch(), SUM).tolist(), [dpo_part + 0.6])
    assert_close(loss(hand_batch(), MEAN).tolist(), [dpo_part + 0.75])


def check_pushes(loss):
    """Chosen tokens get β σ(−βD) + ηβ, or + η/|y|; rejected ones −β σ(−βD)."""
    batch, pull = hand_batch(), 0.4 / (1 + math.e)
    for cfg, extra in ((SUM, 0.2), (MEAN, 0.25)):
        up, down = pulls(loss, batch, cfg)
        assert_close(up, (pull + extra) * batch.chosen_mask.to(F64))
        assert_close(down, -pull * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    assert all(reference_gradients(loss, hand_batch(), c) == 0 for c in (SUM, MEAN))


def soft_labels():
    """P(i ≻ j), symmetric weights that sum to 1 over ordered outcomes, and b."""
    reward = 2 * random(2, N)
    prefers = (reward[:, None] - reward).sigmoid()
    weight = random(3, N, N).exp()
    weight = weight + weight.T
    weight = weight / (weight * prefers).sum()
    return reward, prefers, weight, (weight * prefers).sum(-1)


def check_gradient_balances_errors_and_imitation(loss):
    """In the logits: −β {Σ_j w_kj [P_kj − σ(βD_kj)] + η [b_k − π_k]}."""
    ref, at = random_logps(1), random_logps(5)
    _, prefers, weight, base = soft_labels()
    ratio = at - ref
    error = prefers - (SUM.beta * (ratio[:, None] - ratio)).sigmoid()
    want = -0.4 * ((weight * error).sum(-1) + 0.5 * (base - at.exp()))
    got = population_gradient(loss, SUM, at, ref, prefers, weight)
    assert_close(got, want)


def check_the_term_is_the_value_gap_of_the_adversary(loss):
    """L − L_DPO = η {max_π′ E_π′[r̂] − β KL(π′‖ref) − E_b[r̂]} − ηβ E_b[log ref]."""
    ref, base = random_logps(1), random_logps(7)
    for at in (random_logps(5), random_logps(6)):
        implicit = SUM.beta * (at - ref)
        best = optimal_policy(ref, implicit, SUM.beta)
        gap = expectation(best, implicit) - SUM.beta * kl(best, ref)
        gap = gap - expectation(base, implicit)
        want = SUM.eta * (gap - SUM.beta * expectation(base, ref))
        batch, (chosen, _) = all_pairs(at, ref), every_pair(N)
        extra = loss(batch, SUM) - dpo.loss(batch, dpo.Config(beta=0.4))
        assert_close(base.exp()[chosen] @ extra / N, want)


CHECKS = [
    check_hand_numbers,
    check_pushes,
    check_reference_gets_no_gradient,
    check_gradient_balances_errors_and_imitation,
    check_the_term_is_the_value_gap_of_the_adversary,
]


def test_without_the_term_it_is_dpo():
    batch = all_pairs(random_logps(4), random_logps(1))
    want = dpo.loss(batch, dpo.Config(beta=0.4))
    assert_close(rpo.loss(batch, rpo.Config(beta=0.4, eta=0.0)), want)


def test_average_form_is_dpo_plus_the_mean_nll_of_iterative_rpo():
    """Pang et al.: −α log π(y_c)/|y_c| beside DPO, whatever β is."""
    batch = all_pairs(random_logps(4), random_logps(1))
    nll = sft.loss(batch.chosen, sft.Config(reduce="mean"))
    for beta in (0.1, 0.5):
        cfg = rpo.Config(beta=beta, eta=1.0, reduce="mean", times_beta=False)
        assert_close(rpo.loss(batch, cfg), dpo.loss(batch, dpo.Config(beta=beta)) + nll)
    assert not rpo.AVERAGE.times_beta
    assert rpo.AVERAGE.reduce == "mean"


def test_the_two_forms_differ_by_beta_times_the_length():
    """On one token the average form with η is the cumulative one with η/β."""
    batch = pair([-1.0], [-3.0, -1.0], [-2.0], [-2.0, -0.5])
    cumulative = rpo.Config(beta=0.4, eta=0.5 / 0.4)
    assert_close(rpo.loss(batch, cumulative), rpo.loss(batch, MEAN))


def test_imitation_wins_as_its_weight_grows_and_dpo_as_it_falls():
    """Scaled by 1/(βη), the gradient at π = b vanishes; that at π* does for η → 0."""
    ref = random_logps(1)
    reward, prefers, weight, base = soft_labels()
    best = optimal_policy(ref, reward, 0.4)
    sizes = []
    for eta, at in ((1e6, base.log()), (1e-6, best), (1e6, best), (1e-6, base.log())):
        cfg = rpo.Config(beta=0.4, eta=eta)
        found = population_gradient(rpo.loss, cfg, at, ref, prefers, weight)
        sizes.append(found.abs().max().item() / (0.4 * max(eta, 1)))
    assert max(sizes[:2]) < 1e-5 < 1e-3 < min(sizes[2:])


def test_adversary_gains_nothing_over_a_normalised_policy():
    """log E_ref[e^(r̂/β)] = log Σ π = 0, so the maximum above is 0 and π attains it."""
    ref, at = random_logps(1), random_logps(5)
    best = optimal_policy(ref, 0.4 * (at - ref), 0.4)
    assert_close(best, at)
    worth = expectation(best, 0.4 * (at - ref)) - 0.4 * kl(best, ref)
    assert_close(worth, torch.zeros((), dtype=F64))
