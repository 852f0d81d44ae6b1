"""Token and sequence log-probabilities, by hand."""

import math

import pytest
import torch

from workbench.core.logps import last_token, sequence_logps, token_logps

# three entries of a vocabulary at each of three positions: p(0), p(1), p(2)
PROBABILITIES = torch.tensor(
    [[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]]], dtype=torch.float64
)
IDS = torch.tensor([[2, 1, 2]])


def test_position_t_reads_the_logits_of_position_t_minus_one():
    mask = torch.tensor([[False, True, True]])
    # token 1 is predicted by row 0 (p = 0.25), token 2 by row 1 (p = 0.7)
    expected = torch.tensor([[0.0, math.log(0.25), math.log(0.7)]]).double()
    found = token_logps(PROBABILITIES.log(), IDS, mask)
    torch.testing.assert_close(found, torch.as_tensor(expected), atol=1e-7, rtol=0)


def test_a_constant_added_to_all_logits_changes_nothing():
    mask = torch.tensor([[False, True, True]])
    plain = token_logps(PROBABILITIES.log(), IDS, mask)
    torch.testing.assert_close(token_logps(PROBABILITIES.log() + 5, IDS, mask), plain)


def test_prompt_and_padding_give_zero_and_no_gradient():
    logits = PROBABILITIES.log().requires_grad_()
    mask = torch.tensor([[False, False, True]])
    found = token_logps(logits, IDS, mask)
    assert found[0, :2].tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert gradient[0, 0].abs().max() == 0 and gradient[0, 2].abs().max() == 0
    # d log p(2) / d logits = one-hot(2) − p
    hand = torch.tensor([-0.1, -0.2, 0.3], dtype=torch.float64)
    torch.testing.assert_close(gradient[0, 1], hand)


def test_a_forbidden_token_outside_the_mask_makes_neither_infinity_nor_nan():
    logits = PROBABILITIES.log().clone()
    logits[0, 0, 1] = -torch.inf
    logits.requires_grad_()
    found = token_logps(logits, IDS, torch.tensor([[False, False, True]]))
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert torch.isfinite(found).all() and torch.isfinite(gradient).all()


def test_a_sequence_is_the_sum_or_the_mean_over_response_tokens_only():
    logps = torch.tensor([[9.0, -1.0, -3.0, 9.0], [9.0, -2.0, 9.0, 9.0]])
    mask = torch.tensor([[0, 1, 1, 0], [0, 1, 0, 0]]).bool()
    assert sequence_logps(logps, mask).tolist() == [-4, -2]
    assert sequence_logps(logps, mask, "mean").tolist() == [-2, -2]


def test_an_empty_response_has_log_probability_zero():
    empty = torch.zeros(1, 3, dtype=torch.bool)
    for reduce in ("sum", "mean"):
        assert sequence_logps(torch.ones(1, 3), empty, reduce).tolist() == [0]


def test_infinities_outside_the_mask_do_not_reach_the_sum():
    logps = torch.tensor([[-torch.inf, -1.0, torch.nan]])
    mask = torch.tensor([[False, True, False]])
    assert sequence_logps(logps, mask).tolist() == [-1]


def test_an_unknown_reduction_is_an_error():
    with pytest.raises(Exception, match="sum"):
        sequence_logps(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), "max")


def test_a_response_of_several_turns_ends_once():
    """1 1 | prompt | 1 1: the end of the first turn is no end of the response."""
    mask = torch.tensor([[0, 1, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0, 0]]).bool()
    assert last_token(mask).long().tolist() == [[0, 0, 0, 0, 0, 1, 0], [0] * 7]
