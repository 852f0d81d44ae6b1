"""IPO by hand, and its minimiser for preferences that no reward explains."""

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
from workbench.methods.direct.links import dpo, ipo

CFG = ipo.Config(tau=0.25)
N = TREE.n_responses


def hand_batch(same=False):
    """One pair: log-ratios 1 + 0.5 of the chosen, −1 of the rejected response."""
    chosen = torch.tensor([[-9.0, -1, -2]], dtype=F64)
    rejected = torch.tensor([[-9.0, -3, -4]], dtype=F64)
    return PairLogps(
        policy_chosen=chosen,
        policy_rejected=rejected,
        ref_chosen=chosen if same else torch.tensor([[-6.0, -2, -2.5]], dtype=F64),
        ref_rejected=rejected if same else torch.tensor([[-7.0, -2, -1]], dtype=F64),
        chosen_mask=torch.tensor([[False, True, True]]),
        rejected_mask=torch.tensor([[False, True, False]]),
    )


def preference(seed):
    """A random preference matrix, p(i ≻ j) + p(j ≻ i) = 1; full of cycles."""
    draw = torch.rand(N, N, generator=torch.Generator().manual_seed(seed), dtype=F64)
    half = torch.eye(N, dtype=F64) / 2
    return draw.triu(1) + half + (1 - draw.T).tril(-1)


def population_gradient(loss, cfg, at, ref, prefers, weight):
    """Gradient of Σ_ij w_ij p(i ≻ j) L(i, j) in the logits of a tabular policy."""
    logits = at.clone().requires_grad_()
    tokens, mask = token_logps(TREE, logits.log_softmax(-1))
    ref_tokens, _ = token_logps(TREE, ref)
    i, j = every_pair(N)
    batch = PairLogps(
        tokens[i], tokens[j], ref_tokens[i], ref_tokens[j], mask[i], mask[j]
    )
    total = (weight * prefers).flatten() @ loss(batch, cfg)
    return torch.autograd.grad(total, logits)[0]


def minimiser(ref, prefers, mu, tau):
    """π ∝ π_ref exp(p(y ≻ μ)/τ)."""
    return (ref + (prefers @ mu.exp()) / tau).log_softmax(-1)


def check_hand_number(loss):
    """D = 1.5 + 1 = 2.5 and 1/(2τ) = 2, so L = 0.25."""
    assert_close(loss(hand_batch(), CFG).tolist(), [0.25])


def check_hand_number_of_means(loss):
    """Means 1.5/2 = 0.75 and −1: D = 1.75 nats per token, L = (−0.25)²."""
    cfg = ipo.Config(tau=0.25, reduce="mean")
    assert_close(loss(hand_batch(), cfg).tolist(), [0.0625])


def check_start_is_the_squared_target(loss):
    """π = π_ref gives D = 0 and L = 1/(4τ²) = 4 for sums and for means."""
    for reduce in ("sum", "mean"):
        got = loss(hand_batch(same=True), ipo.Config(tau=0.25, reduce=reduce))
        assert_close(got.tolist(), [4.0])


def check_gradient_is_twice_the_distance(loss):
    """dL/d log π_t = ±2(D − 1/(2τ)) = ±1 at D = 2.5."""
    batch = hand_batch()
    inputs = (batch.policy_chosen.requires_grad_(), batch.policy_rejected)
    inputs[1].requires_grad_()
    up, down = torch.autograd.grad(loss(batch, CFG).sum(), inputs)
    assert_close(up, batch.chosen_mask.to(F64))
    assert_close(down, -batch.rejected_mask.to(F64))


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    batch = hand_batch()
    batch.policy_chosen.requires_grad_()
    refs = (batch.ref_chosen.requires_grad_(), batch.ref_rejected.requires_grad_())
    got = torch.autograd.grad(loss(batch, CFG).sum(), refs, allow_unused=True)
    assert all(g is None or g.abs().max() == 0 for g in got)


def check_minimiser_for_any_preference(loss):
    """D* = (p_i − p_j)/τ with p = p(y ≻ μ): the residuals average to 0 over j ~ μ."""
    ref, mu, prefers = random_logps(1), random_logps(2), preference(3)
    weight = (mu[:, None] + mu).exp()
    best = minimiser(ref, prefers, mu, CFG.tau)
    gradient = population_gradient(loss, CFG, best, ref, prefers, weight)
    assert gradient.abs().max() < 1e-12


CHECKS = [
    check_hand_number,
    check_hand_number_of_means,
    check_start_is_the_squared_target,
    check_gradient_is_twice_the_distance,
    check_reference_gets_no_gradient,
    check_minimiser_for_any_preference,
]


def test_weight_is_minus_the_slope_of_the_link():
    margin = (5 * random(5, 9)).requires_grad_()
    ipo.link(margin, CFG).sum().backward()
    assert_close(ipo.weight(margin.detach(), CFG), -margin.grad)
    assert ipo.weight(torch.tensor(3.0), CFG) < 0


def test_minimiser_needs_pairs_of_two_independent_draws():
    """Pairs that μ × μ cannot produce move the minimum elsewhere."""
    ref, mu, prefers = random_logps(1), random_logps(2), preference(3)
    weight = random(4, N, N).exp()
    best = minimiser(ref, prefers, mu, CFG.tau)
    gradient = population_gradient(ipo.loss, CFG, best, ref, prefers, weight + weight.T)
    assert gradient.abs().max() > 1


def test_minimum_is_unique_and_found_by_one_newton_step():
    """The loss is quadratic in the logits: one solve from anywhere lands on it."""
    ref, mu, prefers = random_logps(1), random_logps(2), preference(3)
    weight = (mu[:, None] + mu).exp()

    def value(logits):
        ratio = logits - ref
        return (weight * prefers * ipo.link(ratio[:, None] - ratio, CFG)).sum()

    start = random(9, N)
    gradient = torch.func.grad(value)(start)
    curvature = torch.func.hessian(value)(start) + 1 / N
    found = (start - torch.linalg.solve(curvature, gradient)).log_softmax(-1)
    assert_close(found, minimiser(ref, prefers, mu, CFG.tau), atol=1e-9, rtol=0)


def descend(link, cfg, steps):
    """D of one pair that is always won, after gradient descent on it alone."""
    margin = torch.zeros((), dtype=F64, requires_grad=True)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(link(margin, cfg), margin)
        margin = (margin - 0.4 * slope).detach().requires_grad_()
    return margin.item()


@pytest.mark.parametrize("tau", [0.1, 0.5, 1.0])
def test_a_pair_that_is_always_won_stops_at_its_target_and_dpo_never_stops(tau):
    assert descend(ipo.link, ipo.Config(tau=tau), 200) == pytest.approx(1 / (2 * tau))
    cfg = dpo.Config(beta=tau)
    early, late = (descend(dpo.link, cfg, steps) for steps in (1000, 4000))
    assert late > early + 0.5 / tau
