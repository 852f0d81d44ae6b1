"""CoPG by hand; π* on any lists, IPO at scores of ±1/4, RLOO on policy."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
    as_pairs,
    constant_gradient,
    every_pair_as_list,
    lists_of,
    logit_gradients,
    off,
    pulls,
    shifted,
    some_members,
    with_logratios,
)
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.methods.direct.links import ipo
from workbench.methods.direct.lists import copg
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.worlds.solutions import expectation, kl, optimal_policy

CFG = copg.Config(beta=0.4)
SQUARED = copg.Config(beta=0.4, form="squared")
N = TREE.n_responses


def hand_list():
    """d = (1, 2, −1) nats, R = (1, 0, 3): R_β = R − βd = (0.6, −0.8, 3.4)."""
    return with_logratios([1.0, 2.0, -1.0], (1.0, 0.0, 3.0))


def check_hand_number(loss):
    """(ΔR − 0.2Δd)Δd = −1.2 · 1, 2.4 · (−2), 3.6 · (−3): l = −16.8/2, L = 8.4."""
    assert_close(loss(hand_list(), CFG).tolist(), [8.4])


def check_hand_number_of_the_square(loss):
    """(1.4² + 2.8² + 4.2²)/(0.8 · 2) = 27.44/1.6."""
    assert_close(loss(hand_list(), SQUARED).tolist(), [17.15])


def check_pulls(loss):
    """R_β minus the mean of the others': −1.4/2, −5.6/2, 7/2, in both forms."""
    batch, pull = hand_list(), torch.tensor([-0.7, -2.8, 3.5], dtype=F64)
    for cfg in (CFG, SQUARED):
        hand = pull[None, :, None] * batch.mask
        assert_close(pulls(loss, batch, cfg), hand)


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0
    assert constant_gradient(loss, hand_list(), SQUARED) == 0


def check_optimal_policy_is_stationary_on_every_list(loss):
    """ΔR = βΔd at π*_β: each gradient is 0, whoever drew the lists."""
    ref, reward = random_logps(1), random(2, N)
    best = optimal_policy(ref, reward, CFG.beta)
    for cfg in (CFG, SQUARED):
        for members in (every_pair_as_list(), some_members(3, group=4)):
            found = logit_gradients(loss, cfg, best, ref, reward, members)
            assert found.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_hand_number_of_the_square,
    check_pulls,
    check_constants_get_no_gradient,
    check_optimal_policy_is_stationary_on_every_list,
]


def test_another_policy_is_not_stationary():
    ref, reward = random_logps(1), random(2, N)
    near = off(optimal_policy(ref, reward, CFG.beta))
    found = logit_gradients(copg.loss, CFG, near, ref, reward, some_members(3))
    assert found.abs().max() > 1e-2


@pytest.mark.parametrize("group", [2, 3, 5])
def test_the_square_is_the_paper_s_form_plus_a_constant(group):
    """Gradients agree; values differ by Σ(R_i − R_j)²/(2β(K − 1)), as at d = 0."""
    args = (
        random_logps(1),
        random_logps(2),
        random(3, N),
        some_members(5, group=group),
    )
    one, two = (logit_gradients(copg.loss, cfg, *args) for cfg in (CFG, SQUARED))
    assert one.abs().max() > 0.1
    assert_close(one, two)
    batch = lists_of(*args)
    start = copg.loss(replace(batch, policy=batch.ref), SQUARED)
    assert_close(copg.loss(batch, SQUARED), copg.loss(batch, CFG) + start)


@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_scores_of_a_quarter_give_half_beta_times_the_gradient_of_ipo(beta):
    """L is minus the paper's l: ∇l = −(β/2)∇IPO at τ = β."""
    won = torch.tensor([0.25, -0.25], dtype=F64)

    def scored(batch, cfg):
        return copg.loss(replace(batch, scores=won.expand_as(batch.scores)), cfg)

    def paired(batch, cfg):
        return ipo.loss(as_pairs(batch), cfg)

    args = (random_logps(1), random_logps(2), random(3, N), some_members(5, group=2))
    ours = logit_gradients(scored, copg.Config(beta=beta), *args)
    theirs = logit_gradients(paired, ipo.Config(tau=beta), *args)
    assert theirs.abs().max() > 0.1
    assert_close(ours, beta / 2 * theirs)


def as_rollouts(batch):
    """The responses of all lists below each other, as if just drawn from π."""
    rows = [v.flatten(0, 1) for v in (batch.policy, batch.ref, batch.mask)]
    policy, ref, mask = rows
    scores, group = batch.scores.flatten(), batch.scores.shape[1]
    return Rollouts(policy, policy.detach(), ref, mask, scores, group)


def rloo_of_lists(batch, cfg):
    """RLOO's loss summed over each list."""
    drawn = as_rollouts(batch)
    drawn = replace(drawn, advantages=rloo.advantages(drawn, cfg))
    return rloo.loss(drawn, cfg).unflatten(0, batch.scores.shape).sum(-1)


@pytest.mark.parametrize("group", [2, 3, 5])
def test_on_policy_the_gradient_of_every_list_is_that_of_rloo(group):
    args = (
        random_logps(1),
        random_logps(2),
        random(3, N),
        some_members(5, group=group),
    )
    theirs = logit_gradients(rloo_of_lists, rloo.Config(beta=0.4), *args)
    assert theirs.abs().max() > 0.1
    assert_close(logit_gradients(copg.loss, CFG, *args), theirs)


def test_on_policy_the_expected_gradient_is_minus_twice_that_of_the_objective():
    """J = E_π[R] − β KL; y and y′ are independent draws from π."""
    ref, reward, start = random_logps(1), random(2, N), random_logps(3)
    logits = start.clone().requires_grad_()
    policy = logits.log_softmax(-1)
    value = expectation(policy, reward) - CFG.beta * kl(policy, ref)
    (exact,) = torch.autograd.grad(value, logits)
    members = every_pair_as_list()
    chance = start[members].sum(-1).exp()
    for cfg in (CFG, SQUARED):
        each = logit_gradients(copg.loss, cfg, start, ref, reward, members)
        assert_close(chance @ each, -2 * exact)


@pytest.mark.parametrize(("key", "factor"), [("stop-gradient on", 0.5), ("whole", 2)])
def test_the_wrong_half_ends_at_another_temperature(key, factor):
    """R_{β/2} without its gradient: π* of β/2. R_β with its gradient: π* of 2β."""
    wrong = next(f for name, f in copg.mistakes.items() if key in name)
    ref, reward = random_logps(1), random(2, N)
    best = optimal_policy(ref, reward, factor * CFG.beta)
    found = logit_gradients(wrong, CFG, best, ref, reward, every_pair_as_list())
    assert found.abs().max() < 1e-12


def test_a_constant_added_to_log_ratios_or_scores_changes_nothing():
    batch = shifted(hand_list(), 0.9)
    moved = replace(batch, scores=batch.scores - 4)
    for cfg in (CFG, SQUARED):
        assert_close(copg.loss(moved, cfg), copg.loss(hand_list(), cfg))
