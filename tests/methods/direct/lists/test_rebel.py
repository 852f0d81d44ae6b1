"""REBEL by hand; its minimiser for any weights, CoPG's factor, mirror descent."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, TREE, random, random_logps
from tests.methods.listwise import (
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
from workbench.methods.direct.lists import copg, rebel

CFG = rebel.Config(eta=2.5)
NATS = rebel.Config(eta=2.5, units="nats")
N = TREE.n_responses


def hand_list():
    """d = (1, 2, −1) nats, r = (1, 0, 3): r − d/η = (0.6, −0.8, 3.4)."""
    return with_logratios([1.0, 2.0, -1.0], (1.0, 0.0, 3.0))


def check_hand_number(loss):
    """Residuals 1.4, 2.8 and 4.2 reward units: 1.96 + 7.84 + 17.64."""
    assert_close(loss(hand_list(), CFG).tolist(), [27.44])


def check_hand_number_of_the_official_form(loss):
    """η² times as much: 6.25 · 27.44."""
    assert_close(loss(hand_list(), NATS).tolist(), [171.5])


def check_pulls(loss):
    """(2/η) Σ_j (r_i − r_j − (d_i − d_j)/η): 0.8 · (−1.4, −5.6, 7); nats: 5 · same."""
    batch, pull = hand_list(), torch.tensor([-1.4, -5.6, 7.0], dtype=F64)
    for cfg, scale in ((CFG, 0.8), (NATS, 5.0)):
        hand = scale * pull[None, :, None] * batch.mask
        assert_close(pulls(loss, batch, cfg), hand)


def check_constants_get_no_gradient(loss):
    assert constant_gradient(loss, hand_list(), CFG) == 0
    assert constant_gradient(loss, hand_list(), NATS) == 0


def check_tilted_snapshot_is_stationary(loss):
    """π_t exp(ηr)/Z: the gradient of every single list is 0, so for any weights."""
    snapshot, reward = random_logps(1), random(2, N)
    best = (snapshot + CFG.eta * reward).log_softmax(-1)
    for cfg in (CFG, NATS):
        found = logit_gradients(loss, cfg, best, snapshot, reward, some_members(3))
        assert found.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_hand_number_of_the_official_form,
    check_pulls,
    check_constants_get_no_gradient,
    check_tilted_snapshot_is_stationary,
]


def test_another_policy_is_not_stationary():
    snapshot, reward = random_logps(1), random(2, N)
    near = off((snapshot + CFG.eta * reward).log_softmax(-1))
    found = logit_gradients(rebel.loss, CFG, near, snapshot, reward, some_members(3))
    assert found.abs().max() > 1e-2


def test_the_official_form_is_eta_squared_times_the_paper_s():
    members = some_members(5, group=4)
    batch = lists_of(random_logps(1), random_logps(2), random(3, N), members)
    for eta in (0.3, 1.0, 4.0):
        paper = rebel.loss(batch, rebel.Config(eta=eta))
        official = rebel.loss(batch, rebel.Config(eta=eta, units="nats"))
        assert_close(official, eta**2 * paper)


@pytest.mark.parametrize("group", [2, 3, 5])
def test_gradient_is_a_multiple_of_copg_at_eta_one_over_beta(group):
    """2β(K − 1) times CoPG's, whose square form differs by that factor in value too."""
    beta, members = 0.4, some_members(5, group=group)
    at = (random_logps(1), random_logps(2), random(3, N), members)
    factor = 2 * beta * (group - 1)
    cfg, eta = copg.Config(beta=beta), rebel.Config(eta=1 / beta)
    base = logit_gradients(copg.loss, cfg, *at)
    assert base.abs().max() > 0.1
    assert_close(logit_gradients(rebel.loss, eta, *at), factor * base)
    nats = replace(eta, units="nats")
    assert_close(logit_gradients(rebel.loss, nats, *at), factor / beta**2 * base)
    square = copg.loss(lists_of(*at), replace(cfg, form="squared"))
    assert_close(rebel.loss(lists_of(*at), eta), factor * square)


def exact_round(snapshot, reward, weight, cfg):
    """argmin of the weighted loss over all pairs: it is quadratic in the logits."""

    def value(logits):
        batch = lists_of(logits.log_softmax(-1), snapshot, reward, every_pair_as_list())
        return weight @ rebel.loss(batch, cfg)

    slope = torch.autograd.functional.jacobian(value, snapshot)
    bend = torch.autograd.functional.hessian(value, snapshot) + 1 / N
    step = torch.linalg.solve(bend, slope)
    return (snapshot - step).log_softmax(-1)


@pytest.mark.parametrize("cfg", [CFG, NATS])
def test_exact_rounds_are_mirror_descent(cfg):
    """π_T ∝ π_0 exp(η Σ r) for rewards and pair weights that change every round."""
    start = policy = random_logps(1)
    total = torch.zeros(N, dtype=F64)
    for step in range(3):
        reward, weight = random(20 + step, N), random(30 + step, N * N).exp()
        policy = exact_round(policy, reward, weight, cfg)
        total = total + reward
        assert_close(policy, (start + cfg.eta * total).log_softmax(-1))


def test_kl_to_the_first_reference_goes_into_the_scores():
    """r − κ(log π_t − log π_ref): the round ends at π_t^{1−ηκ} π_ref^{ηκ} exp(ηr)."""
    ref, snapshot, reward, kappa = random_logps(1), random_logps(2), random(3, N), 0.1
    scores = reward - kappa * (snapshot - ref)
    found = exact_round(snapshot, scores, torch.ones(N * N, dtype=F64), CFG)
    share = CFG.eta * kappa
    mixed = (1 - share) * snapshot + share * ref + CFG.eta * reward
    assert_close(found, mixed.log_softmax(-1))


def test_a_constant_added_to_all_log_ratios_changes_nothing():
    moved = rebel.loss(shifted(hand_list(), 0.9), CFG)
    assert_close(moved, rebel.loss(hand_list(), CFG))
