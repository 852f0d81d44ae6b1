"""Two responses in one row: by hand, both orders, and a place that is liked."""

import math

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.ordered_pairs import OrderedOdds, OrderedPairs
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.methods.reward.preferences import rm_pairpm
from workbench.models.pair_reader import PairReader, side_by_side
from workbench.worlds.reviews import Reviews

CFG = rm_pairpm.Config()


def odds(chosen_first, rejected_first):
    return OrderedOdds(
        torch.tensor(chosen_first, dtype=F64), torch.tensor(rejected_first, dtype=F64)
    )


def check_by_hand(loss):
    """Odds 3 for the chosen in front, 1/4 for the rejected: ½(log 4/3 + log 5/4)."""
    got = loss(odds([math.log(3)], [-math.log(4)]), CFG)
    assert_close(got.tolist(), [(math.log(4 / 3) + math.log(5 / 4)) / 2])


def check_each_order_has_half_of_the_push(loss):
    """dL/do_1 = −½σ(−o_1), dL/do_2 = ½σ(o_2)."""
    batch = odds([0.3, -1.0], [0.8, -2.0])
    batch.chosen_first.requires_grad_()
    batch.rejected_first.requires_grad_()
    inputs = (batch.chosen_first, batch.rejected_first)
    first, second = torch.autograd.grad(loss(batch, CFG).sum(), inputs)
    assert_close(first, -(-batch.chosen_first).sigmoid() / 2)
    assert_close(second, batch.rejected_first.sigmoid() / 2)


CHECKS = [check_by_hand, check_each_order_has_half_of_the_push]


def test_read_in_both_orders_the_chances_add_up_whatever_place_is_liked():
    one, two = 3 * random(0, 40), 3 * random(1, 40) + 2
    forth = OrderedOdds(one, two).margin()
    assert_close(OrderedOdds(two, one).margin(), -forth)
    assert_close(forth.sigmoid(), (one.sigmoid() + 1 - two.sigmoid()) / 2)


def test_a_cycle_costs_the_entropy_of_its_labels():
    """Each beats the next with chance 0.9: o = ±log 9 costs H(0.9), BT log 2."""
    first = torch.tensor([math.log(9)], dtype=F64)
    right, wrong = (
        rm_pairpm.loss(OrderedOdds(sign * first, -sign * first), CFG)
        for sign in (1, -1)
    )
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert_close((0.9 * right + 0.1 * wrong).tolist(), [entropy])
    assert entropy < 0.5 * math.log(2)


def test_a_row_holds_prompt_first_and_second_response():
    """Prompt 7; responses (1, 2) and (3,), each with its end 9."""

    def one(ids, mask):
        ids, mask = torch.tensor([ids]), torch.tensor([mask]).bool()
        known = torch.arange(ids.shape[1])[None] <= mask.nonzero()[-1, 1]
        nothing = torch.full((1,), -1)
        return Tokens(ids, mask, known, nothing, nothing)

    long = one([7, 1, 2, 9, 5], [0, 1, 1, 1, 0])
    short = one([7, 3, 9], [0, 1, 1])
    ids, last = side_by_side(long, short)
    assert ids.tolist() == [[7, 1, 2, 9, 3, 9]] and last.tolist() == [5]
    ids, last = side_by_side(short, long)
    assert ids.tolist() == [[7, 3, 9, 1, 2, 9]] and last.tolist() == [5]
    ids, last = side_by_side(Tokens.cat([long, short]), Tokens.cat([short, short]))
    assert ids.tolist() == [[7, 1, 2, 9, 3, 9], [7, 3, 9, 3, 9, 0]]
    assert last.tolist() == [5, 4]


def test_a_model_reads_each_pair_in_both_orders():
    world = Reviews(max_words=2)
    even = torch.zeros(world.n_prompts, world.n_responses, dtype=F64).log_softmax(-1)
    pairs = sample_pairs(world, even, 8, Annotator(), generator(0))
    model, rows = PairReader.tiny(world.vocab, seed=1), torch.tensor([6, 2])
    with torch.no_grad():
        batch = OrderedPairs(pairs).batch(model, rows)
        turned = OrderedPairs(Pairs(pairs.rejected, pairs.chosen, pairs.weight))
        back = turned.batch(model, rows)
        some = pairs[rows]
        assert_close(batch.chosen_first, model.odds(some.chosen, some.rejected))
    assert_close(back.chosen_first, batch.rejected_first, atol=1e-6, rtol=0)
    assert_close(back.margin(), -batch.margin(), atol=1e-6, rtol=0)
    # a fresh model contradicts itself in one order alone
    assert (batch.chosen_first + batch.rejected_first).abs().min() > 1e-4


def test_a_stack_reads_as_its_members_do():
    world = Reviews(max_words=2)
    even = torch.zeros(world.n_prompts, world.n_responses, dtype=F64).log_softmax(-1)
    models = [PairReader.tiny(world.vocab, seed=seed) for seed in (0, 1)]
    parts = [
        OrderedPairs(sample_pairs(world, even, 4, Annotator(), generator(seed)))
        for seed in (0, 1)
    ]
    rows = torch.arange(8)
    with torch.no_grad():
        both = OrderedPairs.cat(parts).batch(PairReader.stack(models), rows)
        alone = [
            part.batch(model, torch.arange(4))
            for part, model in zip(parts, models, strict=True)
        ]
    for name in ("chosen_first", "rejected_first"):
        want = torch.cat([getattr(each, name) for each in alone])
        assert_close(getattr(both, name), want, atol=1e-5, rtol=0)
