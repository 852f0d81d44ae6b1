"""Steering by exact values, against the optimum that it must or must not reach."""

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.measure import steering
from workbench.methods.values import soft_backup
from workbench.models import tiny
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

BETA = 0.3


@pytest.fixture(scope="module")
def world():
    return Reviews(2)


@pytest.fixture(scope="module")
def ref(world):
    return tiny.reference(world).response_logps(world).detach().double()


def test_soft_values_at_one_over_beta_are_the_optimum(world, ref):
    base = world.tree.conditionals(ref)
    exact = soft_backup.backup(world.tree, base, world.gold, BETA)
    found = steering.steered(world.tree, base, exact.Q, 1 / BETA)
    best = solutions.optimal_policy(ref, world.gold, BETA)
    torch.testing.assert_close(found, best)
    mean = soft_backup.linear(world.tree, base, world.gold)
    off = steering.steered(world.tree, base, mean.Q, 1 / BETA) - best
    assert off.abs().max() > 0.1


def test_no_strength_is_the_reference_and_seeds_stay_apart(world, ref):
    base = world.tree.conditionals(ref)
    Q = soft_backup.linear(world.tree, base, world.gold).Q
    curve = steering.sweep(world, ref, torch.stack([Q, -Q]), [0.0, 1.0])
    assert curve.kl[curve.strength == 0].abs().max() < 1e-12
    up, down = curve[curve.strength == 1].sort_values("seed").gold
    start = solutions.expectation(ref, world.gold).mean().item()
    assert down < start < up


def test_gold_is_read_between_the_points_of_each_seed():
    curve = pd.DataFrame(
        {
            "seed": [0, 0, 1, 1],
            "kl": [2.0, 0.0, 0.0, 1.0],
            "gold": [4.0, 0.0, 1.0, 3.0],
        }
    )
    assert np.allclose(steering.gold_at(curve, [0.5, 5.0]), [[1, 4], [2, 3]])
    assert steering.gold_at(curve.drop(columns="seed")[:2], 1.0) == pytest.approx(2)


def test_with_a_price_the_objective_and_the_distance_to_its_optimum_are_told(
    world, ref
):
    base = world.tree.conditionals(ref)
    star = soft_backup.backup(world.tree, base, world.gold, BETA)
    mean = soft_backup.linear(world.tree, base, world.gold)
    both = torch.stack([star.Q, mean.Q])
    table = steering.sweep(world, ref, both, [1 / BETA], beta=BETA)
    objective = star.V[:, 0].mean().item()
    assert table.J[0] == pytest.approx(objective)
    assert table.kl_to_optimum[0] == pytest.approx(0, abs=1e-9)
    lost = BETA * table.kl_to_optimum[1]
    assert table.J[1] == pytest.approx(objective - lost) and lost > 0.01
