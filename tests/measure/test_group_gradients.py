"""Enumerated policy gradients against autograd and against closed forms."""

from dataclasses import replace

import pytest
import torch

from workbench.core.advantages import group_relative, leave_one_out
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.measure import group_gradients
from workbench.methods.policy_gradient.reinforce import rloo

PI = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
REWARDS = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)


def _plain(rewards, k):
    return rewards


@pytest.mark.parametrize(("advantage", "k"), [(_plain, 1), (leave_one_out, 3)])
def test_the_mean_is_the_gradient_of_the_expected_reward(advantage, k):
    logits = PI.log().requires_grad_()
    (logits.softmax(0) * REWARDS).sum().backward()
    found = group_gradients.mean(PI, REWARDS, advantage, k)
    assert torch.allclose(found, logits.grad)


def test_probabilities_of_the_groups_sum_to_one():
    gradients, chance = group_gradients.every_group(PI, REWARDS, leave_one_out, 2)
    assert gradients.shape == (9, 3) and chance.shape == (9, 1)
    assert torch.allclose(chance.sum(), torch.tensor(1.0).double())


def test_variance_of_single_samples_by_hand():
    score = torch.eye(3) - PI
    each = REWARDS[:, None] * score
    away = each - (PI[:, None] * each).sum(0)
    by_hand = (PI[:, None] * away**2).sum().item()
    assert group_gradients.variance(PI, REWARDS, _plain, 1) == pytest.approx(by_hand)


def test_a_division_by_the_deviation_is_biased():
    exact = group_gradients.mean(PI, REWARDS, leave_one_out, 2)
    scaled = group_gradients.mean(PI, REWARDS, group_relative, 2)
    cosine = torch.cosine_similarity(exact, scaled, dim=0)
    assert cosine < 0.999


def test_one_group_is_what_autograd_finds_of_the_loss_of_rloo():
    logits = PI.log().requires_grad_()
    logps = logits.log_softmax(0)[[2, 0]][:, None]  # a token per response
    ref, mask = torch.full_like(logps, -1.0), torch.ones(2, 1).bool()
    batch = Rollouts(logps, logps.detach(), ref, mask, REWARDS[[2, 0]], group=2)
    cfg = rloo.Config(beta=0.0)
    batch = replace(batch, advantages=rloo.advantages(batch, cfg))
    found = torch.autograd.grad(-rloo.loss(batch, cfg).mean(), logits)[0]
    every, _ = group_gradients.every_group(PI, REWARDS, leave_one_out, 2)
    assert torch.allclose(every[2 * 3 + 0], found)


def test_the_gradient_of_rloo_is_followed_to_the_optimum():
    beta = 0.5

    def push(now):
        penalised = REWARDS - beta * (now / PI).log()
        return group_gradients.mean(now, penalised, leave_one_out, 2)

    path = group_gradients.follow(PI, push, steps=600)
    optimum = (PI.log() + REWARDS / beta).softmax(0)
    assert path.shape == (600, 3)
    assert torch.allclose(path[-1], optimum, atol=1e-3)
