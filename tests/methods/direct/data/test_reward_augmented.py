"""Reward-augmented data: every relabelled pair, and the optimum of each goal."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random
from tests.methods.pairwise import pair, pulls, reference_gradients
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, population_pairs, sample_pairs
from workbench.methods.direct.data import reward_augmented
from workbench.methods.direct.links import dpo
from workbench.models.policy import TabularPolicy
from workbench.worlds.goal_conditioned_world import Goals
from workbench.worlds.probes import YesNo
from workbench.worlds.solutions import optimal_policy

CFG = reward_augmented.Config(beta=0.4)
BASE = YesNo({"yes": 1.0, "yes no": 0.4}, {"no": 1.0, "no no": -0.6})
WORLD = Goals(BASE, (-0.6, 0.0, 0.4, 1.0))  # every reward of the base world is a level
REF = random(1, BASE.n_prompts, BASE.n_responses).log_softmax(-1)


def hand():
    """One pair: d(y_c) = (−1 + 2) + (−2 + 2.5) = 1.5, d(y_r) = −3 + 2 = −1, D = 2.5."""
    return pair([-1.0, -2.0], [-3.0], [-2.0, -2.5], [-2.0])


def population_gradient(loss, cfg, policy, prompt, reward):
    """Gradient of the expected loss over all labelled pairs of one prompt and goal."""
    prompts = WORLD.repeated(REF)
    data = population_pairs(WORLD, prompt, prompts[prompt], Annotator(), reward[prompt])
    ref = data.reference_logps(TabularPolicy(WORLD, prompts))
    batch = data.batch(policy, torch.arange(len(data)), ref)
    total = data.weight @ loss(batch, cfg)
    return torch.autograd.grad(total, policy.table)[0]


def check_hand_number(loss):
    """βD = 0.4 · 2.5 = 1: log(1 + e^−1)."""
    assert_close(loss(hand(), CFG).tolist(), [math.log1p(math.exp(-1))])


def check_push_is_beta_times_the_error(loss):
    """β σ(−βD) = 0.4/(1 + e) up on each token of y_c, down on y_r."""
    batch, push = hand(), 0.4 / (1 + math.e)
    up, down = pulls(loss, batch, CFG)
    assert_close(up, push * batch.chosen_mask.to(F64))
    assert_close(down, -push * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, hand(), CFG) == 0


def check_each_goal_has_its_own_optimum(loss):
    """π(y|x, g) ∝ π_ref exp(−(g − r)²/β) rests at every prompt and goal."""
    reward = WORLD.goal_reward(BASE.gold)
    best = TabularPolicy(WORLD, optimal_policy(WORLD.repeated(REF), reward, CFG.beta))
    for prompt in (0, 2, 7):
        gradient = population_gradient(loss, CFG, best, prompt, reward)
        assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_push_is_beta_times_the_error,
    check_reference_gets_no_gradient,
    check_each_goal_has_its_own_optimum,
]


def test_goals_never_mix_in_a_table():
    """Pairs of one goal move the row of that prompt and goal, and no other."""
    policy = TabularPolicy(WORLD, WORLD.repeated(REF))
    reward = WORLD.goal_reward(BASE.gold)
    gradient = population_gradient(reward_augmented.loss, CFG, policy, 6, reward)
    moved = gradient.abs().amax(-1) > 1e-9
    assert moved.nonzero()[:, 0].tolist() == [6]


# ---- the pairs --------------------------------------------------------------------


def scored_pairs():
    """Every pair of the base world with its better response chosen, ties included."""
    made = []
    for prompt in range(BASE.n_prompts):
        n = BASE.n_responses
        i, j = torch.cartesian_prod(torch.arange(n), torch.arange(n)).unbind(-1)
        keep = (BASE.gold[prompt, i] >= BASE.gold[prompt, j]) & (i != j)
        at = torch.full_like(i, prompt)[keep]
        weight = 1 + torch.arange(len(at), dtype=F64)
        made.append(Pairs(BASE.tokens(at, i[keep]), BASE.tokens(at, j[keep]), weight))
    pairs = Pairs.cat(made)
    return pairs, BASE.gold_reward(pairs.chosen), BASE.gold_reward(pairs.rejected)


def contradictions(doubled, reward):
    """Pairs whose chosen response does not meet its goal better."""
    prompt = doubled.chosen.prompt
    chosen = reward[prompt, doubled.chosen.response]
    return int((chosen <= reward[prompt, doubled.rejected.response]).sum())


def test_every_relabelled_pair_agrees_with_the_distance_from_its_goal():
    doubled = reward_augmented.augment(*scored_pairs(), WORLD)
    assert (doubled.chosen.prompt == doubled.rejected.prompt).all()
    assert contradictions(doubled, WORLD.goal_reward(BASE.gold)) == 0


def test_chosen_responses_score_their_goal():
    doubled = reward_augmented.augment(*scored_pairs(), WORLD)
    goal = WORLD.goal[doubled.chosen.prompt]
    assert_close(WORLD.gold_reward(doubled.chosen), goal)
    assert (WORLD.gold_reward(doubled.rejected) != goal).all()


def test_the_first_half_is_dpo_and_the_second_is_flipped():
    pairs, high, low = scored_pairs()
    told = high > low
    doubled = reward_augmented.augment(pairs, high, low, WORLD)
    first, second = (
        doubled[torch.arange(len(doubled)).unflatten(0, (2, -1))[half]]
        for half in (0, 1)
    )
    assert_close(first.chosen.response, pairs.chosen.response[told])
    assert_close(first.rejected.response, pairs.rejected.response[told])
    assert_close(second.chosen.response, pairs.rejected.response[told])
    assert_close(second.rejected.response, pairs.chosen.response[told])
    assert_close(WORLD.goal[first.chosen.prompt], high[told])
    assert_close(WORLD.goal[second.chosen.prompt], low[told])
    base = pairs.chosen.prompt[told]
    assert_close(WORLD.base_prompt[doubled.chosen.prompt], base.repeat(2))
    assert_close(doubled.weight, pairs.weight[told].repeat(2))


def test_a_second_pair_that_is_not_flipped_is_noticed():
    doubled = reward_augmented.augment(*scored_pairs(), WORLD)
    half = len(doubled) // 2
    kept = doubled[torch.arange(half)]
    lapse = doubled[torch.arange(half) + half]
    wrong = Pairs.cat([kept, Pairs(lapse.rejected, lapse.chosen, lapse.weight)])
    assert contradictions(wrong, WORLD.goal_reward(BASE.gold)) == half


def test_ties_and_pairs_that_the_scores_contradict_are_left_out():
    pairs, high, low = scored_pairs()
    assert (high == low).any()
    doubled = reward_augmented.augment(pairs, high, low, WORLD)
    assert len(doubled) == 2 * (high > low).sum()
    assert len(reward_augmented.augment(pairs, low, high, WORLD)) == 0


def test_scores_are_read_as_the_level_nearest_to_them():
    """0.41 and 0.9 are levels 0.4 and 1; 0.41 and 0.45 are the same goal: a tie."""
    pairs = scored_pairs()[0][torch.arange(2)]
    scores = torch.tensor([0.9, 0.45]), torch.tensor([0.41, 0.41])
    doubled = reward_augmented.augment(pairs, *scores, WORLD)
    assert WORLD.goal[doubled.chosen.prompt].tolist() == [1.0, 0.4]


def test_the_loss_is_that_of_dpo_on_the_doubled_pairs():
    log_probs = torch.zeros_like(REF).log_softmax(-1)
    pairs = sample_pairs(BASE, log_probs, 40, Annotator(), generator(0))
    gold = BASE.gold_reward
    doubled = reward_augmented.augment(
        pairs, gold(pairs.chosen), gold(pairs.rejected), WORLD
    )
    rows = torch.arange(len(doubled))
    ref = doubled.reference_logps(TabularPolicy(WORLD, WORLD.repeated(REF)))
    policy = TabularPolicy(WORLD, random(2, WORLD.n_prompts, WORLD.n_responses))
    batch = doubled.batch(policy, rows, ref)
    expected = dpo.loss(batch, dpo.Config(beta=CFG.beta))
    assert_close(reward_augmented.loss(batch, CFG), expected)


def test_hard_pairs_put_all_mass_on_the_responses_that_score_the_goal():
    """Plain steps on the doubled pairs of all responses, read at goal 0.4."""
    doubled = reward_augmented.augment(*scored_pairs(), WORLD)
    start = WORLD.repeated(REF)
    ref = doubled.reference_logps(TabularPolicy(WORLD, start))
    policy = TabularPolicy(WORLD, start)
    rows, meets = torch.arange(len(doubled)), BASE.gold[0] == 0.4
    masses = []
    for _ in range(60):
        probs = policy.response_logps()[2].detach().exp()
        masses.append(probs[meets].sum().item())
        value = reward_augmented.loss(doubled.batch(policy, rows, ref), CFG).sum()
        (slope,) = torch.autograd.grad(value, policy.table)
        with torch.no_grad():
            policy.table -= slope
    assert masses[0] < 0.3 and masses[-1] > 0.99
    assert all(late > early for early, late in zip(masses, masses[1:], strict=False))
