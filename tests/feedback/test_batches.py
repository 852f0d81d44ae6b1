"""Batches: indexing, padding, the detached reference, where a reward is paid."""

import dataclasses

import pytest
import torch

from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.kinds.game_rollouts import GameRollouts
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.feedback.kinds.scored_prefixes import ValueRollouts


def tokens(ids, response, prompt=0):
    """One row per list: the first token is the prompt."""
    data = torch.tensor(ids)
    mask = torch.ones_like(data, dtype=torch.bool)
    mask[:, 0] = False
    n = len(data)
    return Tokens(
        ids=data,
        mask=mask,
        attention=torch.ones_like(mask),
        prompt=torch.full((n,), prompt),
        response=torch.full((n,), response),
    )


def test_rows_are_picked_by_slice_index_and_mask():
    drawn = tokens([[2, 7, 1], [2, 8, 1], [2, 9, 1]], response=4)
    assert len(drawn) == 3
    assert drawn[1:].ids[:, 1].tolist() == [8, 9]
    assert drawn[torch.tensor([2, 0])].ids[:, 1].tolist() == [9, 7]
    assert drawn[torch.tensor([True, False, True])].ids[:, 1].tolist() == [7, 9]


def test_stacking_pads_the_narrow_batch_outside_both_masks():
    narrow, wide = tokens([[2, 7]], 1), tokens([[3, 8, 9, 1]], 2, prompt=1)
    both = Tokens.cat([narrow, wide])
    assert both.ids.shape == (2, 4) and both.ids[0, :2].tolist() == [2, 7]
    assert both.lengths.tolist() == [1, 3]
    assert both.attention.tolist() == [[True, True, False, False], [True] * 4]
    assert both.mask[0].tolist() == [False, True, False, False]
    assert both.prompt.tolist() == [0, 1] and both.response.tolist() == [1, 2]


def test_padding_to_fewer_columns_would_lose_tokens_and_is_an_error():
    with pytest.raises(ValueError, match="columns"):
        tokens([[2, 7, 1]], 0).padded(2)


def test_a_token_batch_moves_whole():
    moved = tokens([[2, 7]], 1).to("cpu")
    assert all(getattr(moved, f.name).device.type == "cpu"
               for f in dataclasses.fields(moved))  # fmt: skip


PAIR = PairLogps(
    policy_chosen=torch.tensor([[9.0, -1.0, -2.0]]),
    policy_rejected=torch.tensor([[9.0, -4.0, 9.0]]),
    ref_chosen=torch.tensor([[5.0, -2.0, -2.5]]),
    ref_rejected=torch.tensor([[5.0, -1.0, 5.0]]),
    chosen_mask=torch.tensor([[False, True, True]]),
    rejected_mask=torch.tensor([[False, True, False]]),
)


def test_log_ratios_and_the_margin_by_hand():
    # chosen (−1 + 2) + (−2 + 2.5) = 1.5, rejected −4 + 1 = −3
    assert PAIR.chosen.logps().tolist() == [-3]
    assert PAIR.chosen.logratio().tolist() == [1.5]
    assert PAIR.rejected.logratio().tolist() == [-3]
    assert PAIR.margin().tolist() == [4.5]
    # a token: 0.75 and −3
    assert PAIR.margin("mean").tolist() == [3.75]


def test_no_gradient_reaches_the_reference():
    leaves = {
        f.name: getattr(PAIR, f.name).clone().requires_grad_()
        for f in dataclasses.fields(PAIR)
        if not f.name.endswith("mask")
    }
    dataclasses.replace(PAIR, **leaves).margin().sum().backward()
    assert leaves["ref_chosen"].grad is None and leaves["ref_rejected"].grad is None
    assert leaves["policy_chosen"].grad.tolist() == [[0, 1, 1]]
    assert leaves["policy_rejected"].grad.tolist() == [[0, -1, 0]]


def test_the_old_log_ratio_has_no_gradient_and_is_zero_outside_the_mask():
    drawn = Rollouts.example(generator(0))
    drawn = dataclasses.replace(drawn, old=drawn.old.clone().requires_grad_())
    assert not drawn.old_logratio.requires_grad
    assert drawn.old_logratio[~drawn.mask].abs().max() == 0
    gap = (drawn.old - drawn.ref).detach()
    torch.testing.assert_close(drawn.old_logratio[drawn.mask], gap[drawn.mask])


def test_the_score_is_paid_once_on_the_last_response_token():
    mask = torch.tensor([[0, 1, 1, 0], [0, 1, 1, 1]]).bool()
    zeros = torch.zeros(2, 4)
    drawn = ValueRollouts(zeros, zeros, mask, torch.tensor([5.0, -2.0]))
    assert drawn.rewards.tolist() == [[0, 0, 5, 0], [0, 0, 0, -2]]
    rollouts = Rollouts(zeros, zeros, zeros, mask, torch.zeros(2), group=2)
    assert rollouts.last.long().tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]


def test_a_response_of_several_turns_is_paid_once():
    """A score of 5 on turns at 1-2 and 4-5 is 5 reward units in all, at column 5."""
    mask = torch.tensor([[0, 1, 1, 0, 1, 1, 0]]).bool()
    zeros, score = torch.zeros(1, 7), torch.tensor([5.0])
    paid = [0, 0, 0, 0, 0, 5, 0]
    assert ValueRollouts(zeros, zeros, mask, score).rewards.tolist() == [paid]
    rollouts = Rollouts(zeros, zeros, zeros, mask, score, group=1)
    assert rollouts.paid.tolist() == [paid]
    from workbench.methods.policy_gradient.ppo import ppo

    assert ppo.token_rewards(rollouts, ppo.Config()).sum() == 5


def test_a_reward_of_each_token_is_paid_where_it_stands():
    mask = torch.tensor([[0, 1, 1, 0]]).bool()
    dense = torch.tensor([[9.0, 1.0, 2.0, 9.0]])
    zeros = torch.zeros(1, 4)
    rollouts = Rollouts(
        zeros, zeros, zeros, mask, torch.tensor([3.0]), 1, token_scores=dense
    )
    assert rollouts.paid.tolist() == [[0, 1, 2, 0]]


def test_picking_rollouts_picks_every_tensor_and_keeps_the_group():
    drawn = Rollouts.example(generator(1))
    picked = drawn[torch.tensor([4, 5])]
    assert picked.group == 2 and len(picked.scores) == 2
    torch.testing.assert_close(picked.values, drawn.values[4:6])


@pytest.mark.parametrize(
    "kind",
    [ResponseLogps, PairLogps, PairScores, Rollouts,
     GameRollouts, ValueRollouts],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_examples_are_valid_and_repeatable(kind, dtype):
    first = kind.example(generator(3), batch=6, time=4, dtype=dtype)
    again = kind.example(generator(3), batch=6, time=4, dtype=dtype)
    for field in dataclasses.fields(kind):
        value = getattr(first, field.name)
        if isinstance(value, torch.Tensor):
            assert len(value) == 6 and torch.isfinite(value).all()
            assert value.dtype in (dtype, torch.bool)
            assert torch.equal(value, getattr(again, field.name))
            if field.name in ("policy", "old", "ref"):
                assert (value <= 0).all()


@pytest.mark.parametrize(
    ("read", "field"),
    [
        ("advantage", "advantages"),
        ("value", "values"),
        ("old_value", "old_values"),
        ("target", "returns"),
    ],
)
def test_what_no_loop_has_filled_in_is_named_and_not_none(read, field):
    whole = Rollouts.example(generator(0))
    assert getattr(whole, read) is getattr(whole, field)
    with pytest.raises(BadCall, match=f"no {field}"):
        getattr(dataclasses.replace(whole, **{field: None}), read)
