"""PPO part by part by hand, against REINFORCE, and at its fixed point."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import (
    F64,
    TREE,
    node_values,
    random,
    random_logps,
    token_logps,
)
from workbench.core.surrogate import clip_fraction, importance_ratio
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.methods.policy_gradient.ppo import ppo
from workbench.methods.values import soft_backup
from workbench.worlds.solutions import expectation, kl, optimal_policy

CFG = ppo.Config(beta=0.5, lam=1.0, value_weight=1.0, whiten=False)
N = TREE.n_responses


def hand_batch(cfg=CFG):
    """One response of two tokens between a prompt and a column of padding.

    l = (1, 0), so r = (−0.5, 2). With V_old = (1, 0.5): δ = (−1, 1.5),
    A = (0.5, 1.5), G = (1.5, 2). ρ = (1.5, 0.5); V = (1.2, 1).
    """
    ratio = torch.tensor([[1.0, 1.5, 0.5, 1.0]], dtype=F64)
    old = torch.tensor([[-9.0, -1, -1, -5]], dtype=F64)
    batch = Rollouts(
        policy=old + ratio.log(),
        old=old,
        ref=torch.tensor([[-4.0, -2, -1, -8]], dtype=F64),
        mask=torch.tensor([[False, True, True, False]]),
        scores=torch.tensor([2.0], dtype=F64),
        group=1,
        values=torch.tensor([[7.0, 1.2, 1, 7]], dtype=F64),
        old_values=torch.tensor([[7.0, 1, 0.5, 7]], dtype=F64),
    )
    return filled(batch, cfg)


def filled(batch, cfg):
    return replace(
        batch,
        advantages=ppo.advantages(batch, cfg),
        returns=ppo.returns(batch, cfg),
    )


def on_policy(logits, ref, reward, values=None):
    """All responses once, ρ = 1, with the values of every prefix (0 if None)."""
    tokens, mask = token_logps(TREE, logits.log_softmax(-1))
    values = torch.zeros(TREE.n_nodes, dtype=F64) if values is None else values
    values_at = node_values(TREE, values)
    return Rollouts(
        policy=tokens,
        old=tokens.detach(),
        ref=token_logps(TREE, ref)[0],
        mask=mask,
        scores=reward,
        group=1,
        values=values_at,
        old_values=values_at,
    )


def gradients(cfg, values=None, loss=ppo.policy_loss):
    """Σ_y π(y) ∇L(y) and −∇(E[r] − β KL) at a random policy."""
    ref, reward, logits = (
        random_logps(0),
        random(1, N),
        random_logps(2).clone().requires_grad_(),
    )
    batch = filled(on_policy(logits, ref, reward, values), cfg)
    chance = logits.detach().log_softmax(-1).exp()
    each = chance @ loss(batch, cfg)
    (sampled,) = torch.autograd.grad(each, logits, retain_graph=True)
    logps = logits.log_softmax(-1)
    value = expectation(logps, reward) - cfg.beta * kl(logps, ref)
    return sampled, -torch.autograd.grad(value, logits)[0]


def policy_values(cfg):
    """V^π(s) of the random policy above for the reward r − β log π/π_ref."""
    ref, reward, logps = random_logps(0), random(1, N), random_logps(2)
    penalised = reward - cfg.beta * (logps - ref)
    future = soft_backup.linear(TREE, TREE.conditionals(logps), penalised).V
    # the KL paid before a prefix is no part of its value
    reached = torch.cat([torch.zeros(1), reach(logps)]).to(F64)
    spent = torch.cat([torch.zeros(1), reach(ref)]).to(F64)
    return future + cfg.beta * (reached - spent)


def reach(logps):
    """Log-probability of reaching the nodes of one word."""
    return TREE.conditionals(logps)[0, : TREE.n_words]


def check_hand_number(loss):
    """Gains min(0.75, 0.6) + min(0.75, 1.2) = 1.35.

    Errors (1.2 − 1.5)² = 0.09, and of V = 1 held within 0.5 ± 0.2:
    max((1 − 2)², (0.7 − 2)²) = 1.69. L = −1.35 + (0.09 + 1.69)/2 = −0.46.
    """
    assert_close(loss(hand_batch(), CFG).tolist(), [-0.46])


def check_hand_number_with_bootstrapping(loss):
    """λ = 1/2: A = (−1 + 1.5/2, 1.5) = (−0.25, 1.5), G = (0.75, 2).

    Gains min(−0.375, −0.3) + 0.75 = 0.375; errors 0.45² = 0.2025 and 1.69.
    L = −0.375 + 0.94625. (At λ = 1 values between start and end cancel out.)
    """
    cfg = replace(CFG, lam=0.5)
    assert_close(loss(hand_batch(cfg), cfg).tolist(), [0.57125])


def check_returns_are_built_before_whitening(loss):
    """The value loss is 0.89 whether advantages are whitened or not."""
    cfg = replace(CFG, whiten=True)
    batch = hand_batch(cfg)
    alone = loss(batch, cfg) - loss(batch, replace(cfg, value_weight=0.0))
    assert_close(alone.tolist(), [0.89])


CHECKS = [
    check_hand_number,
    check_hand_number_with_bootstrapping,
    check_returns_are_built_before_whitening,
]


def test_gradient_of_the_critic_is_its_error():
    """V = V_old: no clip; dL/dV = V − G = (1.1 − 1.5, 1 − 2)."""
    values = torch.tensor([[7.0, 1.1, 1, 7]], dtype=F64, requires_grad=True)
    batch = replace(hand_batch(), values=values, old_values=values.detach())
    (got,) = torch.autograd.grad(ppo.value_loss(batch, CFG).sum(), values)
    assert_close(got, torch.tensor([[0.0, -0.4, -1, 0]], dtype=F64))


def test_token_rewards_advantages_and_returns_by_hand():
    batch = hand_batch()
    assert ppo.token_rewards(batch, CFG).tolist() == [[0, -0.5, 2, 0]]
    assert ppo.advantages(batch, CFG).tolist() == [[0, 0.5, 1.5, 0]]
    assert ppo.returns(batch, CFG).tolist() == [[0, 1.5, 2, 0]]


def test_whitened_advantages_have_mean_zero_and_variance_one():
    """(0.5, 1.5) has mean 1 and deviation 0.5: (−1, 1)."""
    got = ppo.advantages(hand_batch(), replace(CFG, whiten=True))
    hand = torch.tensor([[0.0, -1, 1, 0]], dtype=F64)
    assert_close(got, hand, atol=1e-6, rtol=0)


def test_mean_over_tokens_halves_the_loss_of_two_tokens():
    got = ppo.loss(hand_batch(), replace(CFG, reduce="mean"))
    assert_close(got.tolist(), [-0.23])


def test_first_epoch_has_ratio_one_and_clips_nothing():
    batch = on_policy(random_logps(2), random_logps(0), random(1, N))
    ratio = importance_ratio(batch.policy, batch.old)
    assert_close(ratio, torch.ones_like(ratio), atol=1e-6, rtol=0)
    assert clip_fraction(ratio, batch.mask, CFG.clip) == 0
    moved = importance_ratio(batch.policy + 0.3, batch.old)
    assert clip_fraction(moved, batch.mask, CFG.clip) == 1


def test_without_a_critic_the_first_step_is_reinforce():
    """ρ = 1, λ = γ = 1, V = 0: Σ_t (Σ_{s ≥ t} r_s) ∇log π_t has the exact mean."""
    sampled, exact = gradients(CFG)
    assert (sampled - exact).norm() < 1e-8 * exact.norm()


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_with_the_exact_critic_every_lambda_has_the_exact_gradient(lam):
    cfg = replace(CFG, lam=lam)
    sampled, exact = gradients(cfg, policy_values(cfg))
    assert (sampled - exact).norm() < 1e-8 * exact.norm()


def test_with_a_wrong_critic_only_monte_carlo_is_unbiased():
    wrong = random(9, TREE.n_nodes)
    sampled, exact = gradients(CFG, wrong)
    assert (sampled - exact).norm() < 1e-8 * exact.norm()
    sampled, exact = gradients(replace(CFG, lam=0.5), wrong)
    assert (sampled - exact).norm() > 1e-2 * exact.norm()


@pytest.mark.parametrize("lam", [0.0, 0.95])
def test_at_the_optimal_policy_with_soft_values_no_token_has_an_advantage(lam):
    ref, reward, cfg = random_logps(0), random(1, N), replace(CFG, lam=lam)
    soft = soft_backup.backup(TREE, TREE.conditionals(ref), reward, cfg.beta)
    best = optimal_policy(ref, reward, cfg.beta)
    batch = on_policy(best, ref, reward, soft.V)
    assert ppo.advantages(batch, cfg).abs().max() < 1e-12
    other = on_policy(random_logps(2), ref, reward, soft.V)
    assert ppo.advantages(other, cfg).abs().max() > 0.1


@pytest.mark.parametrize(
    ("advantage", "ratio", "pushed"),
    [
        (1, 1.21, False),
        (1, 1.19, True),
        (1, 0.5, True),
        (-1, 0.79, False),
        (-1, 0.81, True),
        (-1, 2.0, True),
    ],
)
def test_clip_stops_a_token_exactly_where_it_should(advantage, ratio, pushed):
    batch = hand_batch()
    shift = torch.where(batch.mask, torch.tensor(ratio, dtype=F64).log(), 0.0)
    policy = (batch.old + shift).requires_grad_()
    even = torch.where(batch.mask, float(advantage), 0.0).to(F64)
    moved = replace(batch, policy=policy, advantages=even)
    each = ppo.policy_loss(moved, CFG).sum()
    (gradient,) = torch.autograd.grad(each, policy)
    assert (gradient[batch.mask] != 0).tolist() == [pushed, pushed]
    assert (gradient[~batch.mask] == 0).all()


def test_scaling_the_score_alone_is_another_beta():
    """r/σ − β KL = (r − βσ KL)/σ: its advantages are those of βσ, over σ."""
    batch = on_policy(random_logps(2), random_logps(0), random(1, N))
    scaled = replace(batch, scores=batch.scores / 4)
    other = ppo.advantages(batch, replace(CFG, beta=4 * CFG.beta))
    assert_close(ppo.advantages(scaled, CFG), other / 4)
