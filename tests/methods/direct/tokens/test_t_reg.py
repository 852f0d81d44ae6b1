"""T-REG by hand: DPO whose tokens count 1 + αr and 1 − αr."""

import math
from dataclasses import replace

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
from tests.methods.pairwise import all_pairs, pair
from tests.methods.tokenwise import gradients, labels
from workbench.feedback.kinds.token_pairs import PairTokenRewards
from workbench.methods.direct.links import dpo
from workbench.methods.direct.tokens import t_reg
from workbench.worlds.solutions import optimal_policy

CFG = t_reg.Config(beta=0.4, alpha=0.5)
N = TREE.n_responses


def with_rewards(batch, chosen, rejected):
    """The pairs with a reward per token; the mask hides what is not of a response."""
    return PairTokenRewards(
        **vars(batch), reward_chosen=chosen, reward_rejected=rejected
    )


def hand_batch():
    """D = (−1 + 2) + (−2 + 2.5) − (−3 + 2) = 2.5, βD = 1, σ(−βD) = 1/(1 + e).

    Σ r log π: 0.4·(−1) − 0.1·(−2) = −0.2 and 0.3·(−3) = −0.9.
    """
    batch = pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])
    chosen = torch.tensor([[5.0, 0.4, -0.1, 7.0]], dtype=F64)
    return with_rewards(batch, chosen, torch.tensor([[5.0, 0.3, 6.0, 7.0]], dtype=F64))


def world_batch(policy, ref, seed=3):
    """All pairs; the reward of a token is the same in whichever role it stands."""
    rewards = random(seed, N, TREE.depth + 1).tanh() / 2
    i, j = every_pair(N)
    return with_rewards(all_pairs(policy, ref), rewards[i], rewards[j]), rewards


def check_hand_number(loss):
    """L = log(1 + e^−1) + αβσ(−βD)(0.2 + 0.9) = log(1 + e^−1) + 0.22/(1 + e)."""
    expected = math.log1p(math.exp(-1)) + 0.22 / (1 + math.e)
    assert_close(loss(hand_batch(), CFG).tolist(), [expected])


def check_hand_gradient(loss):
    """Pushes 0.4/(1 + e) times 1.2 and 0.95 on the chosen, 0.85 on the rejected."""
    found = gradients(loss, hand_batch(), CFG)
    push = 0.4 / (1 + math.e)
    assert_close(
        found["policy_chosen"].tolist(), [[0.0, -1.2 * push, -0.95 * push, 0.0]]
    )
    assert_close(found["policy_rejected"].tolist(), [[0.0, 0.85 * push, 0.0, 0.0]])
    rest = [g for k, g in found.items() if k.startswith("re")]
    assert len(rest) == 4 and all(g.abs().max() == 0 for g in rest)


def check_gradient_is_dpo_with_token_weights(loss):
    """Each token of DPO's gradient times 1 + αr (chosen) or 1 − αr (rejected)."""
    batch, _ = world_batch(random_logps(1), random_logps(2))
    found, plain = gradients(loss, batch, CFG), gradients(dpo.loss, batch, CFG)
    for side, sign in (("chosen", 1), ("rejected", -1)):
        weight = 1 + sign * CFG.alpha * vars(batch)[f"reward_{side}"]
        assert_close(found[f"policy_{side}"], weight * plain[f"policy_{side}"])


def check_without_rewards_it_is_dpo(loss):
    """α = 0, or r = 0 everywhere: value and gradient."""
    batch, _ = world_batch(random_logps(1), random_logps(2))
    none = torch.zeros_like(batch.reward_chosen)
    quiet = replace(batch, reward_chosen=none, reward_rejected=none)
    for cfg, case in ((t_reg.Config(beta=0.4, alpha=0.0), batch), (CFG, quiet)):
        assert_close(loss(case, cfg), dpo.loss(case, cfg))
        one, two = gradients(loss, case, cfg), gradients(dpo.loss, case, cfg)
        assert all(torch.allclose(one[k], two[k]) for k in one)


CHECKS = [
    check_hand_number,
    check_hand_gradient,
    check_gradient_is_dpo_with_token_weights,
    check_without_rewards_it_is_dpo,
]


def test_at_the_optimal_policy_rewarded_tokens_are_still_pushed_up():
    """∇ = −2αβ Σ_y c(y) ∇ Σ_t r_t log π, c(y) = Σ_j w_jy p(1 − p)."""
    ref, reward = random_logps(4), 2 * random(5, N)
    star = optimal_policy(ref, reward, CFG.beta)
    wins = labels(reward, 6)

    logits = star.clone().requires_grad_()
    batch, rewards = world_batch(logits.log_softmax(-1), ref)
    total = wins.flatten() @ t_reg.loss(batch, CFG)
    left = torch.autograd.grad(total, logits)[0]

    logits = star.clone().requires_grad_()
    tokens, mask = token_logps(TREE, logits.log_softmax(-1))
    paid = torch.where(mask, rewards * tokens, 0.0).sum(-1)
    counts = (wins * (reward - reward[:, None]).sigmoid()).sum(-1)
    expected = torch.autograd.grad(counts @ paid, logits)[0]
    assert_close(left, -2 * CFG.alpha * CFG.beta * expected)
    assert left.abs().max() > 0.01


def test_token_rewards_are_constants_between_minus_and_plus_a_half():
    better = torch.tensor([0.0, -1.0, -80.0], dtype=F64, requires_grad=True)
    worse = torch.tensor([0.0, -1.0 - math.log(3), 0.0], dtype=F64)
    got = t_reg.token_rewards(better, worse)
    assert_close(got.tolist(), [0.0, 0.25, -0.5])
    assert not got.requires_grad
