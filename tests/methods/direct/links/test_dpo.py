"""DPO by hand, its gradient, and its minimiser over all 585 responses."""

import math
from dataclasses import replace

import pytest
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
from workbench.feedback.kinds.pairs import PairLogps
from workbench.methods.direct.links import dpo
from workbench.worlds.reviews import Reviews
from workbench.worlds.solutions import kl, log_partition, optimal_policy

CFG = dpo.Config(beta=0.4)


def hand_batch():
    """One pair: D = [(−1 + 2) + (−2 + 2.5)] − [−3 + 2] = 1.5 + 1 = 2.5.

    The prompt column and the padding hold numbers that must not be read.
    """
    return PairLogps(
        policy_chosen=torch.tensor([[-9.0, -1, -2]], dtype=F64),
        policy_rejected=torch.tensor([[-9.0, -3, -4]], dtype=F64),
        ref_chosen=torch.tensor([[-6.0, -2, -2.5]], dtype=F64),
        ref_rejected=torch.tensor([[-7.0, -2, -1]], dtype=F64),
        chosen_mask=torch.tensor([[False, True, True]]),
        rejected_mask=torch.tensor([[False, True, False]]),
    )


def all_pairs(policy, ref, tree=TREE):
    """Every ordered pair of responses, as the batch a loss reads."""
    tokens, mask = token_logps(tree, policy)
    ref_tokens, _ = token_logps(tree, ref)
    n = tree.n_responses
    i, j = every_pair(n)
    return PairLogps(
        tokens[i], tokens[j], ref_tokens[i], ref_tokens[j], mask[i], mask[j]
    )


def population_gradient(loss, cfg, at, ref, prefers, weight, tree=TREE):
    """Gradient of Σ_ij w_ij P(i ≻ j) L(i, j) in the logits of a tabular policy."""
    logits = at.clone().requires_grad_()
    each = loss(all_pairs(logits.log_softmax(-1), ref, tree), cfg)
    total = (weight * prefers).flatten() @ each
    return torch.autograd.grad(total, logits)[0]


def check_hand_number(loss):
    """β D = 0.4 · 2.5 = 1, so L = log(1 + e^−1) = 0.31326."""
    assert_close(loss(hand_batch(), CFG).tolist(), [math.log1p(math.exp(-1))])


def check_gradient_is_beta_times_the_error(loss):
    """dL/d log π_t = ∓β σ(−βD) on response tokens: 0.4/(1 + e) with D = 2.5."""
    batch = hand_batch()
    inputs = (batch.policy_chosen.requires_grad_(), batch.policy_rejected)
    inputs[1].requires_grad_()
    up, down = torch.autograd.grad(loss(batch, CFG).sum(), inputs)
    pull = 0.4 / (1 + math.e)
    assert_close(up, -pull * batch.chosen_mask.to(F64))
    assert_close(down, pull * batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    batch = hand_batch()
    batch.policy_chosen.requires_grad_()
    refs = (batch.ref_chosen.requires_grad_(), batch.ref_rejected.requires_grad_())
    got = torch.autograd.grad(loss(batch, CFG).sum(), refs, allow_unused=True)
    assert all(g is None or g.abs().max() == 0 for g in got)


def check_loss_is_log_two_at_the_start(loss):
    """π = π_ref gives D = 0 and −log σ(0) = log 2 for every pair."""
    ref = random_logps(1)
    values = loss(all_pairs(ref, ref), CFG)
    assert_close(values, torch.full_like(values, math.log(2)))


def check_optimal_policy_is_stationary(loss):
    """At π* β D = r_i − r_j: the errors of the two orders cancel, for any weights."""
    ref, reward = random_logps(1), 2 * random(2, TREE.n_responses)
    weight = random(3, TREE.n_responses, TREE.n_responses).exp()
    prefers = (reward[:, None] - reward).sigmoid()
    best = optimal_policy(ref, reward, CFG.beta)
    gradient = population_gradient(loss, CFG, best, ref, prefers, weight + weight.T)
    assert gradient.abs().max() < 1e-10


CHECKS = [
    check_hand_number,
    check_gradient_is_beta_times_the_error,
    check_reference_gets_no_gradient,
    check_loss_is_log_two_at_the_start,
    check_optimal_policy_is_stationary,
]


def test_a_gradient_through_the_reference_does_not_show_in_the_value():
    wrong = next(f for name, f in dpo.mistakes.items() if "reference" in name)
    assert_close(wrong(hand_batch(), CFG), dpo.loss(hand_batch(), CFG))
    with pytest.raises(AssertionError):
        check_reference_gets_no_gradient(wrong)


def test_loss_is_the_link_of_the_margin():
    batch = all_pairs(random_logps(4), random_logps(1))
    assert_close(dpo.loss(batch, CFG), dpo.link(batch.margin(), CFG))


def test_weight_is_minus_the_slope_of_the_link():
    margin = 5 * random(5, 9).requires_grad_()
    margin.retain_grad()
    dpo.link(margin, CFG).sum().backward()
    assert_close(dpo.weight(margin, CFG), -margin.grad)


def test_scaling_the_reference_of_a_prompt_changes_nothing():
    batch = hand_batch()
    shift = torch.tensor([[0.0, 0.7, 0]], dtype=F64)
    moved = replace(
        batch,
        ref_chosen=batch.ref_chosen + shift,
        ref_rejected=batch.ref_rejected + shift,
    )
    assert_close(dpo.loss(moved, CFG), dpo.loss(batch, CFG))


def test_another_policy_is_not_stationary():
    ref, reward = random_logps(1), 2 * random(2, TREE.n_responses)
    prefers = (reward[:, None] - reward).sigmoid()
    weight = torch.ones_like(prefers)
    other = optimal_policy(ref, reward, 2 * CFG.beta)
    gradient = population_gradient(dpo.loss, CFG, other, ref, prefers, weight)
    assert gradient.abs().max() > 1e-2


def test_implicit_reward_of_the_optimum_is_the_reward_minus_beta_log_z():
    ref, reward = random_logps(1), 2 * random(2, TREE.n_responses)
    best = optimal_policy(ref, reward, CFG.beta)
    offset = CFG.beta * log_partition(ref, reward, CFG.beta)
    assert_close(CFG.beta * (best - ref), reward - offset)


def newton(ref, prefers, cfg, steps=40):
    """Minimise the mean of p_ij L(D_ij) over tabular logits, from the reference.

    The curvature of the link by D is the slope of ``-weight``; over the logits it makes
    the Laplacian of a weighted graph, whose constant direction is filled in.
    """
    logits = ref
    for _ in range(steps):
        ratio = logits - ref
        margin = (ratio[:, None] - ratio).requires_grad_()
        pull = dpo.weight(margin, cfg)
        bend = prefers * -torch.autograd.grad(pull.sum(), margin)[0]
        gradient = (prefers.T * pull.T - prefers * pull).detach().mean(-1)
        edges = (bend + bend.T) / len(ref)
        laplacian = torch.diag(edges.sum(-1)) - edges
        logits = logits - torch.linalg.solve(laplacian + 1 / len(ref), gradient)
        if gradient.abs().max() < 1e-15:
            break
    return logits.log_softmax(-1)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_population_minimiser_over_all_585_responses_is_the_optimal_policy(beta):
    """Soft Bradley–Terry labels of gold on every pair; start at the reference."""
    world, cfg = Reviews(max_words=3), dpo.Config(beta=beta)
    ref, reward = random_logps(6, world.n_responses), world.gold[0].double()
    prefers = (reward[:, None] - reward).sigmoid()

    best = optimal_policy(ref, reward, beta)
    assert kl(ref, best) > 0.1
    found = newton(ref, prefers, cfg)
    assert kl(found, best) < 1e-6
    assert kl(best, found) < 1e-6
    # and the loss itself, on token log-probs, agrees that it is a minimum
    weight = torch.full_like(prefers, 1 / prefers.numel())
    gradient = population_gradient(
        dpo.loss, cfg, best, ref, prefers, weight, world.tree
    )
    assert gradient.abs().max() < 1e-12
