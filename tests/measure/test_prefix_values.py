"""Values of a policy, against sums over responses and the soft backup."""

import torch
from torch.testing import assert_close

from tests.methods.enumerated import random
from workbench.measure import prefix_values
from workbench.methods.values import soft_backup
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import expectation, kl, optimal_policy

WORLD = Reviews(max_words=2)
TREE, REWARD = WORLD.tree, WORLD.gold
REF = random(1, WORLD.n_prompts, WORLD.n_responses).log_softmax(-1)
LOGPS = random(7, WORLD.n_prompts, WORLD.n_responses).log_softmax(-1)
CONDITIONALS = TREE.conditionals(REF)


def test_at_the_root_it_is_the_objective():
    """V^π(root) = E_π[r] − β KL(π‖π_ref), one leading row per seed."""
    got = prefix_values.of_policy(torch.stack([LOGPS, REF]), WORLD, REF, 0.3)
    goal = expectation(LOGPS, REWARD) - 0.3 * kl(LOGPS, REF)
    assert_close(got[0, :, 0], goal)
    assert_close(got[1], soft_backup.linear(TREE, CONDITIONALS, REWARD).V)


def test_of_the_optimal_policy_it_is_the_soft_value():
    best = optimal_policy(REF, REWARD, 0.3)
    soft = soft_backup.backup(TREE, CONDITIONALS, REWARD, 0.3)
    assert_close(prefix_values.of_policy(best, WORLD, REF, 0.3)[0], soft.V)
    assert (prefix_values.of_policy(LOGPS, WORLD, REF, 0.3)[0] <= soft.V + 1e-12).all()


def test_kl_of_the_past_does_not_count():
    """Where the policy is π_ref from s on, V^π(s) = V^ref(s)."""
    moved = CONDITIONALS.clone()
    moved[:, 0] = random(8, WORLD.n_prompts, TREE.n_words + 1).log_softmax(-1)
    got = prefix_values.of_policy(TREE.response_logps(moved), WORLD, REF, 0.3)[0]
    mean = soft_backup.linear(TREE, CONDITIONALS, REWARD).V
    assert_close(got[:, 1:], mean[:, 1:])
    assert not torch.allclose(got[:, 0], mean[:, 0])


def test_another_reward_takes_the_place_of_gold():
    got = prefix_values.of_policy(LOGPS, WORLD, REF, 0.3, reward=2 * REWARD)[0, :, 0]
    assert_close(got, expectation(LOGPS, 2 * REWARD) - 0.3 * kl(LOGPS, REF))


def test_visits_add_up_to_the_expected_number_of_tokens():
    """Every prefix that is passed writes one token: a word or the end."""
    got = prefix_values.visits(LOGPS, WORLD)[0]
    assert_close(got[:, 0], torch.ones_like(got[:, 0]))
    tokens = (WORLD.n_words + 1).clamp(max=WORLD.max_words).double()
    assert_close(got.sum(-1), expectation(LOGPS, tokens.expand_as(LOGPS)))


def test_a_critic_stands_beside_the_exact_value():
    """One row per visited prefix; the critic is asked for the same prefix."""

    class Offset:
        def value_all(self, world):
            return prefix_values.of_policy(LOGPS, WORLD, REF, 0.3)[0] + 1

    told = (LOGPS, Offset(), WORLD, REF, 0.3)
    whole, often = (prefix_values.beside_critic(*told, often=o) for o in (0.0, 0.1))
    assert list(whole.columns) == ["seed", "visits", "exact", "critic"]
    assert len(whole) == WORLD.n_prompts * TREE.n_nodes > len(often)
    assert often.visits.min() >= 0.1
    assert ((whole.critic - whole.exact - 1).abs() < 1e-9).all()
