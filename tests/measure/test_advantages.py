"""Token implicit rewards beside the exact advantages."""

import pytest
import torch

from workbench.measure.advantages import beside_advantage
from workbench.models.policy import TabularPolicy
from workbench.worlds import exact


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_at_the_optimum_token_rewards_are_the_exact_advantages(world, ref, gold, beta):
    best = exact.optimal_policy(ref, gold, beta)
    prompt = torch.arange(4).repeat(3)
    response = torch.tensor([0, 3, 17, 40, 72, 8, 9, 30, 55, 1, 2, 64])
    frame = beside_advantage(
        TabularPolicy(world, best), TabularPolicy(world, ref), world, prompt, response,
        beta=beta,
    )  # fmt: skip
    assert (frame.reward - frame.advantage).abs().max() < 1e-9
    total = gold - beta * exact.log_partition(ref, gold, beta)[:, None]
    sums = frame.groupby("row").advantage.sum().tolist()
    assert sums == pytest.approx(total[prompt, response].tolist(), abs=1e-9)


def test_away_from_the_optimum_they_differ_and_seeds_stand_apart(
    world, ref, other, stack
):
    both = stack(world, [other, ref])
    prompt, response = torch.tensor([0, 2]), torch.tensor([40, 5])
    reference = TabularPolicy(world, ref)
    frame = beside_advantage(both, reference, world, prompt, response, beta=0.5)
    assert frame.seed.tolist() == [0] * 4 + [1] * 4
    assert frame[frame.seed == 1].reward.abs().max() < 1e-12
    assert (frame.reward - frame.advantage).abs().max() > 0.1
    first, second = (frame[frame.seed == s].advantage.tolist() for s in (0, 1))
    assert first == second
