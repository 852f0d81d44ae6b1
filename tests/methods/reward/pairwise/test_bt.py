"""The Bradley–Terry loss by hand, and the reward it recovers."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, every_pair, random, random_logps
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.methods.reward.pairwise import bt
from workbench.worlds.solutions import kl, optimal_policy

CFG = bt.Config()
N = 20


def scores(chosen, rejected):
    return PairScores(
        torch.tensor(chosen, dtype=F64), torch.tensor(rejected, dtype=F64)
    )


def population(loss, estimate, prefers, weight=1.0):
    """Σ_ij w P(i ≻ j) L(i, j) over all ordered pairs."""
    i, j = every_pair(N)
    each = loss(PairScores(estimate[i], estimate[j]), CFG)
    return (weight * prefers * each.reshape(N, N)).sum()


def check_hand_numbers(loss):
    """−log σ(2 − 0) = log(1 + e^−2), and log 2 for equal scores."""
    hand = [math.log1p(math.exp(-2)), math.log(2)]
    assert_close(loss(scores([2.0, 1.0], [0.0, 1.0]), CFG).tolist(), hand)


def check_confident_error_costs_its_size(loss):
    """−log σ(−50) = log(1 + e^50) = 50 + e^−50."""
    assert_close(loss(scores([0.0], [50.0]), CFG).tolist(), [50.0])


def check_margin_asks_for_more(loss):
    """−log σ(2 − 0 − 1.5) = log(1 + e^−0.5)."""
    got = loss(scores([2.0], [0.0]), bt.Config(margin=1.5))
    assert_close(got.tolist(), [math.log1p(math.exp(-0.5))])


def check_gradient_is_the_probability_of_the_error(loss):
    """dL/dr_chosen = −(1 − p), dL/dr_rejected = 1 − p, p = σ(0.5)."""
    batch = scores([1.0], [0.5])
    batch.chosen.requires_grad_()
    batch.rejected.requires_grad_()
    inputs = (batch.chosen, batch.rejected)
    up, down = torch.autograd.grad(loss(batch, CFG).sum(), inputs)
    miss = 1 / (1 + math.exp(0.5))
    assert_close([up.item(), down.item()], [-miss, miss])


def check_prompt_offsets_do_not_matter(loss):
    """r → r + f(x) leaves every difference as it is."""
    chosen, rejected, offset = random(0, 3, 6)
    moved = loss(PairScores(chosen + offset, rejected + offset), CFG)
    assert_close(moved, loss(PairScores(chosen, rejected), CFG))


def check_true_reward_is_stationary(loss):
    """With P(i ≻ j) = σ(r_i − r_j) the two orders of a pair cancel at r + c."""
    reward = 2 * random(1, N)
    weight = random(2, N, N).exp()
    estimate = (reward + 0.7).requires_grad_()
    prefers = (reward[:, None] - reward).sigmoid()
    total = population(loss, estimate, prefers, weight + weight.T)
    assert torch.autograd.grad(total, estimate)[0].abs().max() < 1e-10


CHECKS = [
    check_hand_numbers,
    check_confident_error_costs_its_size,
    check_margin_asks_for_more,
    check_gradient_is_the_probability_of_the_error,
    check_prompt_offsets_do_not_matter,
    check_true_reward_is_stationary,
]


def fitted(prefers):
    """The minimiser, from scores 0."""
    estimate = torch.zeros(N, dtype=F64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [estimate],
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimiser.zero_grad()
        value = population(bt.loss, estimate, prefers)
        value.backward()
        return value

    optimiser.step(closure)
    return estimate.detach()


def test_fit_to_soft_labels_has_the_same_optimal_policy_as_the_reward():
    reward, ref = 2 * random(1, N), random_logps(3, N)
    found = fitted((reward[:, None] - reward).sigmoid())
    assert_close(found - found.mean(), reward - reward.mean(), atol=1e-6, rtol=0)
    best = optimal_policy(ref, reward, 0.5)
    assert kl(optimal_policy(ref, found, 0.5), best) < 1e-10


def test_no_scores_explain_a_cycle():
    """In a circulant tournament all are alike: the best fit is 0, at log 2 per pair."""
    step = (torch.arange(N - 1)[:, None] - torch.arange(N - 1)) % (N - 1)
    cycle = torch.where(step == 0, 0.5, torch.where(step <= (N - 2) // 2, 0.9, 0.1))
    prefers = torch.zeros(N, N, dtype=F64)
    prefers[:-1, :-1] = cycle.to(F64)
    assert fitted(prefers).abs().max() < 1e-9
