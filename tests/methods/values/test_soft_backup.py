"""The soft backup against what is known of the whole distribution of responses."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.caught import assert_caught
from tests.methods.enumerated import F64, random
from workbench.methods.values import soft_backup
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import expectation, kl, log_partition, optimal_policy
from workbench.worlds.tree import PrefixTree

WORLD = Reviews(max_words=2)
TREE, REWARD = WORLD.tree, WORLD.gold.double()
REF = random(1, WORLD.n_prompts, WORLD.n_responses).log_softmax(-1)
CONDITIONALS = TREE.conditionals(REF)
BETAS = (0.05, 0.3, 1.0)


def path_values(table, responses):
    """A value of every (node, action) on the way of each response."""
    nodes, actions = TREE.paths(responses)
    return torch.where(nodes >= 0, table[:, nodes, actions], 0.0), nodes >= 0


def check_two_levels_by_hand(backup):
    """One word at most, out of two; π_ref = (1/2, 1/4) and 1/4 to end; β = 1.

    Rewards log 2, log 4 and 0: V = log(1/2 · 2 + 1/4 · 4 + 1/4 · 1) = log(9/4), and
    π* = (1, 1, 1/4)/(9/4) = (4/9, 4/9, 1/9). At β = 2: V = 2 log(√2/2 + 1/2 + 1/4).
    """
    tree = PrefixTree(n_words=2, depth=1)
    ref = torch.tensor([[0.5, 0.25, 0.25]], dtype=F64).log()
    reward = torch.tensor([0.0, math.log(2), math.log(4)], dtype=F64)
    soft = backup(tree, ref, reward, 1.0)
    assert_close(soft.V.tolist(), [math.log(9 / 4)])
    assert_close(soft.Q.tolist(), [[math.log(2), math.log(4), 0.0]])
    assert_close(soft.log_policy.exp().tolist(), [[4 / 9, 4 / 9, 1 / 9]])
    warmer = backup(tree, ref, reward, 2.0)
    assert_close(warmer.V.tolist(), [2 * math.log(math.sqrt(0.5) + 0.75)])


def check_root_is_beta_log_z(backup):
    """Backing up level by level is one sum over responses."""
    for beta in BETAS:
        root = backup(TREE, CONDITIONALS, REWARD, beta).V[:, 0]
        assert_close(root, beta * log_partition(REF, REWARD, beta))


CHECKS = [check_two_levels_by_hand, check_root_is_beta_log_z]


@pytest.mark.parametrize("check", CHECKS)
def test_backup_passes(check):
    check(soft_backup.backup)


@pytest.mark.parametrize("name", soft_backup.mistakes)
def test_mistake_is_caught(name):
    assert_caught(soft_backup.mistakes[name], CHECKS)


@pytest.mark.parametrize("beta", BETAS)
def test_policy_of_the_tree_is_the_optimal_policy_over_responses(beta):
    soft = soft_backup.backup(TREE, CONDITIONALS, REWARD, beta)
    best = optimal_policy(REF, REWARD, beta)
    assert_close(TREE.response_logps(soft.log_policy), best)
    total = soft.log_policy.logsumexp(-1)
    assert_close(total, torch.zeros_like(total), atol=1e-12, rtol=0)


@pytest.mark.parametrize("beta", BETAS)
def test_root_is_the_best_reward_minus_its_price(beta):
    """V* = E_π*[r] − β KL(π*‖π_ref)."""
    soft = soft_backup.backup(TREE, CONDITIONALS, REWARD, beta)
    best = optimal_policy(REF, REWARD, beta)
    assert_close(soft.V[:, 0], expectation(best, REWARD) - beta * kl(best, REF))


@pytest.mark.parametrize("beta", BETAS)
def test_every_path_pays_exactly_its_value_from_every_prefix(beta):
    """r − β Σ_{i ≥ t} log π*/π_ref = V*(s_t) for all responses and all t."""
    soft = soft_backup.backup(TREE, CONDITIONALS, REWARD, beta)
    every = torch.arange(TREE.n_responses)
    price, written = path_values(beta * (soft.log_policy - CONDITIONALS), every)
    ahead = price.flip(-1).cumsum(-1).flip(-1)
    nodes, _ = TREE.paths(every)
    paid = torch.where(written, REWARD[..., None] - ahead, 0.0)
    assert_close(paid, torch.where(written, soft.V[:, nodes], 0.0))


def test_soft_value_lies_between_mean_and_maximum_and_meets_both():
    low = soft_backup.linear(TREE, CONDITIONALS, REWARD).V
    high = soft_backup.maximum(TREE, CONDITIONALS, REWARD).V
    for beta in BETAS:
        soft = soft_backup.backup(TREE, CONDITIONALS, REWARD, beta).V
        assert ((low <= soft) & (soft <= high)).all()
    hot = soft_backup.backup(TREE, CONDITIONALS, REWARD, 1e6).V
    cold = soft_backup.backup(TREE, CONDITIONALS, REWARD, 1e-4).V
    assert_close(hot, low, atol=1e-4, rtol=0)
    assert_close(cold, high, atol=2e-3, rtol=0)


def test_mean_value_of_the_root_is_the_expected_reward_and_maximum_the_best():
    low = soft_backup.linear(TREE, CONDITIONALS, REWARD)
    assert_close(low.V[:, 0], expectation(REF, REWARD))
    high = soft_backup.maximum(TREE, CONDITIONALS, REWARD)
    assert_close(high.V[:, 0], REWARD.amax(-1))
    reached = TREE.response_logps(high.log_policy)
    assert_close(expectation(reached, REWARD), REWARD.amax(-1))


def test_maximum_does_not_count_what_the_reference_never_writes():
    ref = CONDITIONALS.clone()
    ref[..., 0] = -torch.inf
    ref = ref.log_softmax(-1)
    allowed = torch.where(TREE.response_logps(ref) > -torch.inf, REWARD, -torch.inf)
    high = soft_backup.maximum(TREE, ref, REWARD)
    assert_close(high.V[:, 0], allowed.amax(-1))


def test_a_prompt_offset_moves_values_and_leaves_advantages():
    offset = torch.arange(4.0, dtype=F64)[:, None]
    soft = soft_backup.backup(TREE, CONDITIONALS, REWARD, 0.3)
    moved = soft_backup.backup(TREE, CONDITIONALS, REWARD + offset, 0.3)
    assert_close(moved.V, soft.V + offset)
    assert_close(moved.advantage, soft.advantage)
    assert_close(moved.log_policy, soft.log_policy)


def test_values_stay_finite_where_exponentials_would_not():
    soft = soft_backup.backup(TREE, CONDITIONALS, 100 * REWARD, 1e-3)
    assert soft.V.isfinite().all()
    assert soft.log_policy.logsumexp(-1).abs().max() < 1e-6


def test_known_reward_of_one_review_is_paid_once():
    """Only 'good fun' is worth 1: Q of its last word is 1, of other words 0."""
    reward = torch.zeros_like(REWARD)
    reward[:, WORLD.index("good fun")] = 1.0
    soft = soft_backup.backup(TREE, CONDITIONALS, reward, 0.5)
    good, fun = WORLD.index("good"), WORLD.words.index("fun")
    assert_close(soft.Q[:, good, fun], torch.ones(4, dtype=F64))
    assert soft.Q[:, good].sum(-1).tolist() == [1.0] * 4
