"""NCA by hand, its population optimum, that of finite lists, and its pair form."""

import math

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    COUNTED,
    constant_gradient,
    every_pair_as_list,
    hand_list,
    lists_of,
    logit_gradients,
    off,
    population,
    pulls,
    shifted,
    single_tokens,
)
from workbench.methods.direct.lists import infonca, nca
from workbench.worlds.solutions import optimal_policy

CFG = nca.Config(beta=0.4, alpha=1.5)
PLAIN = nca.Config(beta=1.0, alpha=1.5)
N = TREE.n_responses
REWARD = 2 * random(2, N)


def hand_batch():
    """One list: p = (1, 3, 2)/6 and e^s = (1, 2, 4)."""
    return hand_list(beta=0.4, alpha=1.5)


def check_hand_number(loss):
    """−log σ(s) = log(2, 3/2, 5/4) and −log σ(−s) = log(2, 3, 5)."""
    want = math.log(2) / 6 + math.log(3 / 2) / 2 + math.log(5 / 4) / 3
    assert_close(loss(hand_batch(), CFG).tolist(), [want + math.log(30) / 3])


def check_push_is_what_the_target_wants_minus_what_the_reference_gives(loss):
    """β(p σ(−s) − σ(s)/K): 1/12 − 1/6, 1/6 − 2/9 and 1/15 − 4/15, times 0.4."""
    batch = hand_batch()
    want = 0.4 * torch.tensor([-1 / 12, -1 / 18, -1 / 5], dtype=F64)
    assert_close(pulls(loss, batch, CFG), want[None, :, None] * batch.mask)


def check_reference_and_scores_are_constants(loss):
    """No gradient reaches them."""
    assert constant_gradient(loss, hand_batch(), CFG) == 0


def check_the_population_is_at_rest_at_the_target(loss):
    """β = 1: σ(log(p/π_ref)) = p/(p + π_ref), so both terms pull alike everywhere."""
    best = optimal_policy(COUNTED, REWARD, PLAIN.alpha)
    found = logit_gradients(loss, PLAIN, best, COUNTED, REWARD, population())
    assert found.abs().max() < 1e-12
    # and not only along the distributions: each log-prob by itself
    batch = lists_of(best, COUNTED, REWARD, population())
    assert pulls(loss, batch, PLAIN).abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_push_is_what_the_target_wants_minus_what_the_reference_gives,
    check_reference_and_scores_are_constants,
    check_the_population_is_at_rest_at_the_target,
]


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_another_policy_or_beta_is_not_at_rest(beta):
    best = optimal_policy(COUNTED, REWARD, PLAIN.alpha)
    at = best if beta != 1 else off(best)
    cfg = nca.Config(beta=beta, alpha=PLAIN.alpha)
    found = logit_gradients(nca.loss, cfg, at, COUNTED, REWARD, population())
    assert found.abs().max() > 1e-3


def test_lists_of_two_end_at_a_distribution_that_is_less_sharp():
    """β = 1: π = π_ref · 2 E_ref[σ((r − r′)/α)], which is not π_ref exp(r/α)/Z."""
    ref, members = random_logps(1), every_pair_as_list()
    weight = ref.exp()[members].prod(-1)
    wins = ((REWARD[:, None] - REWARD) / PLAIN.alpha).sigmoid() @ ref.exp()
    soft = ref + (2 * wins).log()
    assert_close(soft.exp().sum().item(), 1.0)

    def pull(at):
        each = logit_gradients(nca.loss, PLAIN, at, ref, REWARD, members)
        return (weight @ each).abs().max()

    best = optimal_policy(ref, REWARD, PLAIN.alpha)
    assert pull(soft) < 1e-12
    assert pull(best) > 1e-2
    assert (soft - ref).std() < (best - ref).std()


def hard_pair(chosen, rejected):
    """Lists of two whose second response wins outright."""
    logratio = torch.stack([rejected, chosen], -1) / CFG.beta
    scores = torch.tensor([[0.0, 1]], dtype=F64).expand_as(logratio)
    return single_tokens(logratio, scores), nca.Config(beta=CFG.beta, alpha=1e-3)


def test_a_hard_pair_has_the_published_pair_form():
    chosen, rejected = 3 * random(3, 9), 3 * random(4, 9)
    want = -logsigmoid(chosen) - (logsigmoid(-chosen) + logsigmoid(-rejected)) / 2
    assert_close(nca.loss(*hard_pair(chosen, rejected)), want)


def test_on_a_hard_pair_the_chosen_score_ends_at_log_two():
    """And the rejected one is pushed down wherever it is."""
    at = math.log(2) + torch.tensor([-1.0, 0, 1], dtype=F64)
    batch, cfg = hard_pair(at, torch.linspace(-5, 5, 3, dtype=F64))
    rejected, chosen = pulls(nca.loss, batch, cfg)[..., 0].T
    assert chosen[0] > 0.01
    assert chosen[1].abs() < 1e-14
    assert chosen[2] < -0.01
    assert (rejected < 0).all()


def test_the_absolute_log_ratio_counts_unlike_in_infonca():
    batch = hand_batch()
    moved = shifted(batch, 0.7)
    assert (nca.loss(moved, CFG) - nca.loss(batch, CFG)).abs() > 0.01
    assert_close(infonca.loss(moved, CFG), infonca.loss(batch, CFG))
