"""What a beam finds, against what there is to be found."""

import pytest
import torch

from workbench.measure.beam_search import by_width
from workbench.worlds import solutions


def test_the_widest_beam_finds_the_likeliest_and_the_highest_implicit_reward(
    world, ref, gold
):
    best = solutions.optimal_policy(ref, gold, 0.5)
    wide = [world.n_responses]
    likely = by_width(best, world, ref, wide).iloc[0]
    at = best.argmax(-1, keepdim=True)
    assert likely["gold"] == pytest.approx(gold.gather(1, at).mean().item())
    assert likely["logp"] == pytest.approx(best.max(-1).values.mean().item())
    assert likely["length"] == world.n_words[at].double().mean().item()
    # at the optimum the implicit reward is gold minus a constant of the prompt
    found = by_width(best, world, ref, wide, "implicit reward").iloc[0]
    assert found["gold"] == pytest.approx(gold.max(-1).values.mean().item())
    assert found["logratio"] >= likely["logratio"] and found["logp"] <= likely["logp"]


def test_a_row_a_seed_and_width(world, ref, gold, stack):
    policies = [ref, solutions.optimal_policy(ref, gold, 0.3)]
    frame = by_width(stack(world, policies), world, ref, (1, 4))
    assert frame[["seed", "width"]].to_numpy().tolist() == [
        [0, 1], [1, 1], [0, 4], [1, 4]
    ]  # fmt: skip
    alone = by_width(policies[1], world, ref, (4,))
    columns = ["gold", "length", "logp", "logratio"]
    assert frame.loc[3, columns].tolist() == pytest.approx(
        alone.loc[0, columns].tolist()
    )
    assert torch.tensor(frame["logratio"][[0, 2]].tolist()).abs().max() < 1e-9
