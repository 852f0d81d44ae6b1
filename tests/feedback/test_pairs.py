"""Pairs: drawn, populated, and read as log-probs."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, population_pairs, sample_pairs
from workbench.models import tiny
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(2)


def drawn(n: int = 64, seed: int = 0) -> Pairs:
    return sample_pairs(WORLD, WORLD.author, n, Annotator(), generator(seed))


def test_drawn_pairs_answer_the_same_prompt_and_never_repeat_a_response():
    pairs = drawn(400)
    assert torch.equal(pairs.chosen.prompt, pairs.rejected.prompt)
    assert (pairs.chosen.response != pairs.rejected.response).all()


def test_a_sure_annotator_always_chooses_the_better_one():
    sure = Annotator(deterministic=True)
    pairs = sample_pairs(WORLD, WORLD.author, 400, sure, generator(0))
    gap = WORLD.gold_reward(pairs.chosen) - WORLD.gold_reward(pairs.rejected)
    assert (gap >= 0).all()
    assert gap.max() > 0


def test_population_weights_are_the_probabilities_of_the_labelled_pairs():
    pairs = population_pairs(WORLD, 0, WORLD.author[0], Annotator())
    assert len(pairs) == 73 * 72
    i, j = WORLD.index("good"), WORLD.index("bad")
    rows = (pairs.chosen.response == i) & (pairs.rejected.response == j)
    back = (pairs.chosen.response == j) & (pairs.rejected.response == i)
    # μ cancels in the ratio of the two orders: p/(1 − p) = exp(r_i − r_j)
    ratio = pairs.weight[rows] / pairs.weight[back]
    assert ratio.item() == pytest.approx(math.exp(2), rel=1e-12)
    assert pairs.weight.mean().item() == pytest.approx(1.0)


def test_log_probs_of_a_batch_are_those_of_its_responses():
    table = TabularPolicy(WORLD, WORLD.author)
    pairs = drawn()
    ref = pairs.reference_logps(TabularPolicy(WORLD))
    rows = torch.tensor([3, 5, 8])
    batch = pairs.batch(table, rows, ref)
    chosen = pairs.chosen[rows]
    logps = batch.policy_chosen.sum(-1)
    torch.testing.assert_close(logps, WORLD.author[chosen.prompt, chosen.response])
    uniform = -torch.tensor(73.0, dtype=torch.float64).log()
    torch.testing.assert_close(
        batch.ref_rejected.sum(-1), uniform.expand(3), atol=1e-9, rtol=0
    )


def test_a_stack_reads_each_members_own_rows():
    members = [tiny.decoder(WORLD.vocab, width=16, layers=1, seed=s) for s in (0, 1)]
    stack = members[0].stack(members)
    parts = [drawn(8, seed=s) for s in (0, 1)]
    both = Pairs.cat(parts)
    ref = both.reference_logps(members[0])
    together = both.batch(stack, torch.arange(16), ref)
    for m, (member, part) in enumerate(zip(members, parts, strict=True)):
        alone = part.batch(member, torch.arange(8), part.reference_logps(members[0]))
        rows = slice(8 * m, 8 * m + 8)
        for side in ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected"):
            torch.testing.assert_close(
                getattr(together, side)[rows], getattr(alone, side)
            )
