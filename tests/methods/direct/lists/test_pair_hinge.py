"""All pairs of a list under the hinge: zero once neighbours are 1/β apart."""

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    pulls,
    shifted,
    single_tokens,
    with_logratios,
)
from tests.methods.rankings import population_gradient
from workbench.methods.direct.links import hinge
from workbench.methods.direct.lists import pair_hinge
from workbench.worlds.solutions import optimal_policy

CFG = pair_hinge.Config(beta=0.4)


def hand_list(scores=(0.3, 2.0, 1.1)):
    """d = (0, 2, 3) nats, βd = (0, 0.8, 1.2); the second is the best."""
    return with_logratios([0.0, 2.0, 3.0], scores)


def check_hand_number(loss):
    """β(d_i − d_j) = −0.4, 0.8 and 1.2: the loss is 1.4 + 0.2 + 0."""
    assert_close(loss(hand_list(), CFG).tolist(), [1.6])


def check_pulls(loss):
    """β for each pair that is short of its margin; the third has beaten the first."""
    pull = 0.4 * torch.tensor([-1.0, 2.0, -1.0], dtype=F64)
    batch = hand_list()
    assert_close(pulls(loss, batch, CFG), pull[None, :, None] * batch.mask)


def check_equal_scores_make_no_pair(loss):
    """With scores (1, 1, 0) only the last is compared: 1 + 1.2 and 1 + 0.4."""
    value = loss(hand_list(scores=(1.0, 1.0, 0.0)), CFG)
    assert_close(value.tolist(), [3.6])


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0


def check_zero_when_neighbours_in_rank_are_far_enough(loss):
    """1/β = 2.5 nats: best 6.6, middle 4.0, worst 1.4; 0.2 nats short costs 0.08."""
    scores = torch.tensor([[0.3, 2.0, 1.1]], dtype=F64)
    far = torch.tensor([[1.4, 6.6, 4.0]], dtype=F64)
    assert loss(single_tokens(far, scores), CFG).tolist() == [0.0]
    near = torch.tensor([[1.4, 6.3, 4.0]], dtype=F64)
    assert_close(loss(single_tokens(near, scores), CFG).tolist(), [0.4 * 0.2])


CHECKS = [
    check_hand_number,
    check_pulls,
    check_equal_scores_make_no_pair,
    check_constants_get_no_gradient,
    check_zero_when_neighbours_in_rank_are_far_enough,
]


def test_a_list_of_two_is_the_hinge():
    d, scores = 3 * random(1, 9, 2), random(2, 9, 2)
    batch = single_tokens(d, scores.sort(-1, descending=True).values)
    expected = hinge.loss(as_pairs(batch), hinge.Config(beta=0.4))
    assert_close(pair_hinge.loss(batch, CFG), expected)


def test_the_best_of_k_stands_k_minus_one_margins_above_the_worst():
    """Equally spaced by 1/β the loss is 0; any narrower span of the list costs."""
    scores = random(3, 1, 5)
    place = scores.argsort(-1).argsort(-1).to(F64)
    batch = single_tokens(2.5001 * place, scores)
    assert pair_hinge.loss(batch, CFG).tolist() == [0.0]
    assert pair_hinge.loss(single_tokens(2.49 * place, scores), CFG) > 0


def test_under_noisy_ranks_the_optimal_policy_is_not_stationary():
    ref, reward = random_logps(1), random(2, TREE.n_responses)
    best = optimal_policy(ref, reward, CFG.beta)
    gradient = population_gradient(pair_hinge.loss, CFG, best, ref, reward)
    assert gradient.abs().max() > 1e-2


def test_a_constant_added_to_all_log_ratios_changes_nothing():
    moved = pair_hinge.loss(shifted(hand_list(), 0.9), CFG)
    assert_close(moved, pair_hinge.loss(hand_list(), CFG))
