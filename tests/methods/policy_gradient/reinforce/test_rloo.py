"""RLOO by hand, and its expected gradient by enumeration of all k-tuples."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps, token_logps
from workbench.core.advantages import group_relative
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.worlds.solutions import expectation, kl, optimal_policy

CFG = rloo.Config(beta=0.5)
N = TREE.n_responses


def hand_batch():
    """Two prompts with two responses each, of 2 and 1, 1 and 2 tokens."""
    mask = torch.tensor([[0, 1, 1], [0, 1, 0], [0, 1, 0], [0, 1, 1]], dtype=torch.bool)
    gap = torch.tensor([[5.0, 1, 1], [5, 2, 9], [5, 0, 9], [5, -1, -3]], dtype=F64)
    old = torch.full((4, 3), -2.0, dtype=F64)
    scores = torch.tensor([3.0, 1, 2, 0], dtype=F64)
    return Rollouts(
        policy=old.clone(), old=old, ref=old - gap, mask=mask, scores=scores, group=2
    )


def filled(batch, cfg=CFG):
    return replace(batch, advantages=rloo.advantages(batch, cfg))


def every_tuple(logits, ref, reward, k):
    """All N^k groups of one prompt, drawn from the policy itself."""
    rows = torch.tensor(list(itertools.product(range(N), repeat=k)))
    tokens, mask = token_logps(TREE, logits.log_softmax(-1))
    ref_tokens, _ = token_logps(TREE, ref)
    flat = rows.flatten()
    batch = Rollouts(
        policy=tokens[flat],
        old=tokens[flat].detach(),
        ref=ref_tokens[flat],
        mask=mask[flat],
        scores=reward[flat],
        group=k,
    )
    chance = logits.detach().log_softmax(-1)[rows].sum(-1).exp()
    return batch, chance


def expected_gradient(loss, cfg, k, seed=0, at=None):
    """Σ over k-tuples of Π π(y_i) · (1/k) Σ_i ∇L_i, and −∇(E[r] − β KL)."""
    ref, reward = random_logps(seed), random(seed + 1, N)
    logits = (random_logps(seed + 2) if at is None else at).clone().requires_grad_()
    batch, chance = every_tuple(logits, ref, reward, k)
    each = loss(filled(batch, cfg), cfg).reshape(-1, k).mean(-1)
    (sampled,) = torch.autograd.grad(chance @ each, logits, retain_graph=True)
    logps = logits.log_softmax(-1)
    value = expectation(logps, reward) - cfg.beta * kl(logps, ref)
    return sampled, -torch.autograd.grad(value, logits)[0]


def check_hand_numbers(loss):
    """R = r − β Σ l: 3 − 1 = 2, 1 − 1 = 0; 2 − 0 = 2, 0 + 2 = 2. A = 2, −2, 0, 0.

    log π(y) = −4, −2, −2, −4, so −A log π = 8, −4, 0, 0.
    """
    assert_close(loss(filled(hand_batch()), CFG).tolist(), [8.0, -4.0, 0.0, 0.0])


def check_expected_gradient_is_exact(loss):
    """E[Σ_i A_i ∇log π(y_i)]/k = ∇(E[r] − β KL): siblings carry no information."""
    sampled, exact = expected_gradient(loss, CFG, k=2)
    assert (sampled - exact).norm() < 1e-8 * exact.norm()


def check_advantages_are_constants(loss):
    """A weighs ∇log π; nothing flows into it."""
    batch = filled(hand_batch())
    weights = batch.advantages.clone().requires_grad_()
    total = loss(replace(batch, advantages=weights), CFG).sum()
    if total.requires_grad:
        (got,) = torch.autograd.grad(total, weights, allow_unused=True)
        assert got is None or got.abs().max() == 0


CHECKS = [
    check_hand_numbers,
    check_expected_gradient_is_exact,
    check_advantages_are_constants,
]


@pytest.mark.parametrize("name", rloo.mistakes)
def test_every_mistake_bends_the_expected_gradient(name):
    sampled, exact = expected_gradient(rloo.mistakes[name], CFG, k=2)
    assert (sampled - exact).norm() > 1e-2 * exact.norm()


def test_own_reward_in_the_baseline_shrinks_the_gradient_by_a_known_factor():
    wrong = next(f for name, f in rloo.mistakes.items() if "own reward" in name)
    for k in (2, 3):
        sampled, exact = expected_gradient(wrong, CFG, k)
        assert_close(sampled, exact * (k - 1) / k)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("clip", [None, 0.2])
def test_expected_gradient_over_all_tuples_is_exact(k, clip):
    """Also with the clip: on policy ρ = 1, and ∇ρ = ∇log π."""
    cfg = rloo.Config(beta=0.3, clip=clip)
    sampled, exact = expected_gradient(rloo.loss, cfg, k, seed=5)
    assert (sampled - exact).norm() < 1e-8 * exact.norm()


def test_expected_gradient_vanishes_at_the_optimal_policy():
    best = optimal_policy(random_logps(0), random(1, N), CFG.beta)
    sampled, _ = expected_gradient(rloo.loss, CFG, k=2, at=best)
    assert sampled.abs().max() < 1e-12


def test_at_the_optimal_policy_every_sample_has_no_advantage():
    """R = r − β log π*/π_ref = β log Z for every response: nothing to compare."""
    ref, reward = random_logps(0), random(1, N)
    best = optimal_policy(ref, reward, CFG.beta)
    batch, _ = every_tuple(best, ref, reward, 2)
    assert rloo.advantages(batch, CFG).abs().max() < 1e-12


def test_advantage_stands_on_every_response_token_and_nowhere_else():
    got = rloo.advantages(hand_batch(), CFG)
    hand = [[0.0, 2, 2], [0, -2, 0], [0, 0, 0], [0, 0, 0]]
    assert got.tolist() == hand


def test_advantage_is_k_over_k_minus_one_times_the_centred_reward():
    batch = Rollouts.example(torch.Generator().manual_seed(1))
    centred = group_relative(rloo.penalised_reward(batch, CFG), 2, scale=False)
    hand = torch.where(batch.mask, 2 * centred[:, None], 0.0)
    assert_close(rloo.advantages(batch, CFG), hand)


def test_advantage_ignores_shifts_and_follows_scale():
    batch = Rollouts.example(torch.Generator().manual_seed(1))
    cfg = rloo.Config(beta=0.0)
    moved = replace(batch, scores=3 * batch.scores + 7)
    got, base = rloo.advantages(moved, cfg), rloo.advantages(batch, cfg)
    assert_close(got, 3 * base)


def test_equal_rewards_teach_nothing():
    batch = replace(hand_batch(), scores=torch.ones(4, dtype=F64))
    cfg = rloo.Config(beta=0.0)
    assert rloo.loss(filled(batch, cfg), cfg).abs().max() == 0


def test_clip_stops_the_push_exactly_outside_its_range():
    """A = (2, −2); ρ of row 0 at 1.3 or 1.1, of row 1 at 0.7 or 0.9, ε = 0.2."""
    cfg = rloo.Config(beta=0.5, clip=0.2)
    for up, down, pushed in ((1.3, 0.7, False), (1.1, 0.9, True), (0.7, 1.3, True)):
        batch = filled(hand_batch())
        shift = torch.zeros_like(batch.old)
        shift[0, 1], shift[1, 1] = torch.tensor([up, down]).log()
        policy = (batch.old + shift).requires_grad_()
        each = rloo.loss(replace(batch, policy=policy), cfg)
        (gradient,) = torch.autograd.grad(each.sum(), policy)
        assert (gradient[:2].abs().sum(-1) > 0).tolist() == [pushed, pushed]


def test_more_siblings_leave_less_noise_in_the_gradient():
    """Trace of Cov(A ∇log π(y)) per sample: baselines from one and from two others."""
    traces = []
    for k in (2, 3):
        logits = random_logps(2).clone().requires_grad_()
        batch, chance = every_tuple(logits, random_logps(0), random(1, N), k)
        logps = logits.detach().log_softmax(-1)
        score = torch.eye(N, dtype=F64) - logps.exp()
        first = torch.tensor(list(itertools.product(range(N), repeat=k)))[:, 0]
        value = rloo.advantages(batch, CFG)[::k].sum(-1) / batch.mask[::k].sum(-1)
        push = value[:, None] * score[first]
        mean = chance @ push
        traces.append((chance @ (push**2).sum(-1) - (mean**2).sum()).item())
    assert traces[1] < 0.9 * traces[0]
