"""Vectors that turn: by hand, antisymmetric, Bradley–Terry inside, cycles outside."""

import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, every_pair, random
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.feedback.kinds.pair_vectors import PairVectors, VectorPairs
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.methods.reward.pairwise import bt
from workbench.methods.reward.preferences import rm_gpm
from workbench.methods.reward.preferences.rm_gpm import Config
from workbench.models.preference_vectors import PreferenceVectors, lead
from workbench.worlds.reviews import Reviews

PLAIN = Config(tau=1.0, gated=False)


def vectors(chosen, rejected, gate=None):
    chosen, rejected = (torch.as_tensor(v, dtype=F64) for v in (chosen, rejected))
    ones = torch.ones(len(chosen), chosen.shape[-1] // 2, dtype=F64)
    gate = ones if gate is None else torch.as_tensor(gate, dtype=F64)
    return PairVectors(chosen, rejected, gate)


def check_by_hand(loss):
    """(1, 2 | 3, 0) and (0, 1 | 1, 1): 1·1 − 2·0 = 1 and 3·1 − 0·1 = 3.

    Without a gate 4; with (0.5, 1.5) it is 5, at τ = ½ ten.
    """
    batch = vectors([[1.0, 2, 3, 0]], [[0.0, 1, 1, 1]], [[0.5, 1.5]])
    assert_close(loss(batch, PLAIN).tolist(), [math.log1p(math.exp(-4))])
    got = loss(batch, Config(tau=0.5))
    assert_close(got.tolist(), [math.log1p(math.exp(-10))])


def check_a_score_and_a_one_are_bradley_terry(loss):
    """(r, 1) and (r', 1): r·1 − 1·r'."""
    good, bad = random(0, 30), random(1, 30)
    one = torch.ones(30, dtype=F64)
    batch = vectors(torch.stack([good, one], -1), torch.stack([bad, one], -1))
    assert_close(loss(batch, PLAIN), bt.loss(PairScores(good, bad), bt.Config()))


def check_both_orders_of_a_pair_add_up(loss):
    """P(a ≻ b) + P(b ≻ a) = 1."""
    one, two = random(2, 30, 6), random(3, 30, 6)
    gate = 3 * random(4, 30, 3).softmax(-1)
    forth, back = (loss(vectors(*p, gate), Config()) for p in ((one, two), (two, one)))
    assert_close((-forth).exp() + (-back).exp(), torch.ones(30, dtype=F64))


CHECKS = [
    check_by_hand,
    check_a_score_and_a_one_are_bradley_terry,
    check_both_orders_of_a_pair_add_up,
]


def test_a_cycle_of_three_needs_one_turn():
    """At 0°, 120° and 240° each leads the next by sin 120°; no scores do so."""
    angle = torch.arange(3, dtype=F64) * 2 * math.pi / 3
    table = torch.stack([angle.cos(), angle.sin()], -1)
    found = lead(table[:, None], table[None, :])[..., 0]
    side = math.sqrt(3) / 2
    want = torch.tensor([[0, side, -side], [-side, 0, side], [side, -side, 0]])
    assert_close(found, want.to(F64))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_an_antisymmetric_matrix_of_rank_2k_is_reached(k):
    """Fitted to log-odds of rank 2k, width 2k comes down to the entropy of the labels.

    For k > 1 width 2k − 2 stays above it.
    """
    n = 7
    truth = random(5, n, 2 * k)
    prefers = lead(truth[:, None], truth[None, :]).sum(-1).sigmoid().flatten()
    entropy = torch.nn.functional.binary_cross_entropy(prefers, prefers).item()
    i, j = every_pair(n)

    def reached(pairs):
        """Mean loss of the best table of so many pairs of numbers, nats per label."""
        table = (0.5 * random(6, n, 2 * pairs)).requires_grad_()
        optimiser = torch.optim.LBFGS(
            [table], max_iter=2000, tolerance_grad=1e-10, tolerance_change=0,
            line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure():
            optimiser.zero_grad()
            gate = torch.ones(n * n, pairs, dtype=F64)
            each = rm_gpm.loss(PairVectors(table[i], table[j], gate), PLAIN)
            # both orders of a pair are in the sum: they are two halves of a label
            value = 2 * (prefers * each).mean()
            value.backward()
            return value

        optimiser.step(closure)
        return closure().item()

    assert reached(k) == pytest.approx(entropy, abs=1e-6)
    if k > 1:
        assert reached(k - 1) > entropy + 1e-3


def test_a_model_reads_vectors_and_the_gate_of_the_prompt():
    world = Reviews(max_words=2)
    model = PreferenceVectors.tiny(world.vocab, k=2, seed=3)
    even = torch.zeros(world.n_prompts, world.n_responses, dtype=F64).log_softmax(-1)
    pairs = sample_pairs(world, even, 12, Annotator(), generator(0))
    with torch.no_grad():
        batch = VectorPairs(pairs).batch(model, torch.arange(12))
        turned = VectorPairs(Pairs(pairs.rejected, pairs.chosen, pairs.weight))
        back = turned.batch(model, torch.arange(12))
    cfg = Config(k=2, tau=1.0)
    assert_close(rm_gpm.margin(batch, cfg), -rm_gpm.margin(back, cfg))
    assert_close(batch.gate.mean(-1), torch.ones(12))
    # the same prompt has the same gate, whichever response follows
    for prompt in pairs.chosen.prompt.unique():
        rows = batch.gate[pairs.chosen.prompt == prompt]
        assert_close(rows, rows[:1].expand_as(rows), atol=1e-6, rtol=0)
    table = model.lead_all(world)
    told = table[pairs.chosen.prompt, pairs.chosen.response, pairs.rejected.response]
    assert_close(rm_gpm.margin(batch, cfg).double(), told, atol=1e-5, rtol=0)


def test_a_stack_reads_as_its_members_do():
    world = Reviews(max_words=2)
    models = [PreferenceVectors.tiny(world.vocab, k=2, seed=seed) for seed in (0, 1)]
    even = torch.zeros(world.n_prompts, world.n_responses, dtype=F64).log_softmax(-1)
    parts = [
        VectorPairs(sample_pairs(world, even, 6, Annotator(), generator(seed)))
        for seed in (0, 1)
    ]
    stack = PreferenceVectors.stack(models)
    with torch.no_grad():
        rows = torch.tensor([1, 4, 6 + 0, 6 + 5])
        both = VectorPairs.cat(parts).batch(stack, rows)
        alone = [
            part.batch(model, some)
            for part, model, some in zip(
                parts, models, (torch.tensor([1, 4]), torch.tensor([0, 5])), strict=True
            )
        ]
    for name in ("chosen", "rejected", "gate"):
        want = torch.cat([getattr(each, name) for each in alone])
        assert_close(getattr(both, name), want, atol=1e-5, rtol=0)
    assert_close(stack.lead_all(world)[1], models[1].lead_all(world), atol=1e-5, rtol=0)
