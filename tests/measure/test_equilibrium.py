"""Walks in a game of three responses, against the derivation by hand."""

import math

import pytest
import torch

from workbench.measure import equilibrium
from workbench.models import tiny
from workbench.worlds import people, preference_games, solutions
from workbench.worlds.reviews import Reviews

TAU = 0.05
BETAS = torch.logspace(0.5, -1.7, 12).tolist()


@pytest.fixture(scope="module")
def cycle():
    return preference_games.biased_rps(0.18, 0.14, 0.16)


@pytest.fixture(scope="module")
def ref():
    return torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()


@pytest.fixture(scope="module")
def nash(cycle, ref):
    return preference_games.nash(cycle, ref, TAU)


def ratio(path, nash, matrix):
    spread = (matrix.amax(0) - matrix.amin(0)).max()
    return equilibrium.one_step_ratio(path, nash, spread, TAU)


def test_a_walk_keeps_its_start_and_passes_the_step_number():
    path = equilibrium.walk(lambda t, p: p + t, 3, torch.zeros(2))
    assert path[:, 0].tolist() == [0, 0, 1, 3]


def test_only_nash_md_keeps_the_one_step_inequality(cycle, ref, nash):
    n = 2000
    right = equilibrium.walk(equilibrium.mirror(cycle, ref, TAU), n, ref)
    assert ratio(right, nash, cycle).max() < 0.5
    wrong = {
        "never moves": ref.expand(n + 1, 3),
        "transposed": equilibrium.walk(equilibrium.mirror(cycle.T, ref, TAU), n, ref),
        "a tenth": equilibrium.walk(equilibrium.mirror(cycle, ref, TAU, 0.1), n, ref),
    }
    for name, path in wrong.items():
        assert ratio(path, nash, cycle).max() > 1, name


def test_the_ratio_is_that_of_the_derivation(cycle, ref, nash):
    path = equilibrium.walk(equilibrium.mirror(cycle, ref, TAU), 3, ref)
    far = solutions.kl(nash.expand_as(path), path)
    spread = (cycle.amax(0) - cycle.amin(0)).max().item()
    eta = 2 / (TAU * (1 + 2))
    most = (1 - eta * TAU) * far[1].item() + (eta * spread) ** 2 / 8
    assert ratio(path, nash, cycle)[1].item() == pytest.approx(far[2].item() / most)


def test_the_three_walks_end_where_theory_says(cycle, ref, nash):
    walks = equilibrium.walks(cycle, ref, TAU, 80)
    assert [len(path) for path in walks.values()] == [13, 401, 81]
    off = {k: solutions.kl(nash, path[-1]).item() for k, path in walks.items()}
    assert off["Nash-MD"] < 1e-3 < min(off["best responses"], off["self-play, τ = 0"])


def test_no_reward_reaches_the_equilibrium_of_a_cycle(cycle, ref):
    assert equilibrium.least_gap(cycle, ref, TAU, BETAS) > 0.01
    # two responses have no circle: the log-odds of any policy are those of some β
    odds = 0.3
    pair = torch.tensor([[0.5, 0.5 + odds], [0.5 - odds, 0.5]], dtype=torch.float64)
    reward = math.log(0.8 / 0.2)
    beta = reward * TAU / odds
    even = torch.full((2,), math.log(0.5), dtype=torch.float64)
    assert equilibrium.least_gap(pair, even, TAU, [beta]) == pytest.approx(0, abs=1e-9)


def test_the_tracker_measures_the_reference_and_the_equilibrium():
    world = Reviews(2)
    ref = tiny.reference(world).response_logps(world).detach().double()
    crowd = preference_games.population(people.rewards(world), people.shares(), 0.5)
    nash = preference_games.nash(crowd, ref, TAU, tolerance=1e-8)
    track = equilibrium.Tracker(world, crowd, ref, TAU, nash)
    seen = track(torch.stack([ref, nash]))
    assert seen.kl[0] == pytest.approx(0, abs=1e-12) and seen.gap[0] > 0.01
    assert seen.distance[1] == pytest.approx(0, abs=1e-12)
    assert seen.gap[1] == pytest.approx(0, abs=1e-6)
    assert list(equilibrium.Tracker(world, crowd, ref, TAU)(ref)) == ["gap", "kl"]
