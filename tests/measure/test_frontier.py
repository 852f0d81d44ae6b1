"""The interpolated frontier against bisection."""

import pytest
import torch

from workbench.measure.frontier import Frontier
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews


def by_bisection(ref, gold, nats):
    """Gold of π*_β at the β whose mean KL is ``nats``."""
    low, high = 1e-5, 1e4
    for _ in range(100):
        beta = (low * high) ** 0.5
        best = solutions.optimal_policy(ref, gold, beta)
        too_far = solutions.kl(best, ref).mean().item() > nats
        low, high = (beta, high) if too_far else (low, beta)
    return solutions.expectation(best, gold).mean().item()


@pytest.mark.parametrize("max_words", [2, 3])
@pytest.mark.parametrize("nats", [1e-7, 1e-6, 1e-3, 0.1, 0.5, 1.0, 2.0, 4.0])
def test_the_table_agrees_with_bisection(max_words, nats):
    world = Reviews(max_words)
    frontier = Frontier(world.author, world.gold)
    found = frontier.gold(torch.tensor(nats)).item()
    assert found == pytest.approx(
        by_bisection(world.author, world.gold, nats), abs=1e-6
    )


def test_it_rises_from_the_reference_to_the_best_response(world, ref, gold):
    frontier = Frontier(ref, gold)
    nats = torch.linspace(0, 30, 400, dtype=torch.float64)
    values = frontier.gold(nats)
    assert (values.diff() >= -1e-12).all()
    start = solutions.expectation(ref, gold).mean()
    assert values[0].item() == pytest.approx(start.item(), abs=1e-12)
    best = gold.max(-1).values.mean()
    assert values[-1].item() == pytest.approx(best.item(), abs=1e-9)


def test_it_is_concave_in_the_nats_spent(ref, gold):
    values = Frontier(ref, gold).gold(torch.linspace(0.05, 4, 80).double())
    assert (values.diff().diff() <= 1e-8).all()


def test_a_reward_that_is_the_same_everywhere_has_a_flat_frontier(ref):
    flat = Frontier(ref, torch.full_like(ref, 2.0))
    assert flat.gold(torch.tensor([0.0, 0.5, 5.0])).tolist() == pytest.approx([2, 2, 2])
