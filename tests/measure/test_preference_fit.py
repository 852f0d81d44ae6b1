"""What scores and turns explain: by hand on three responses, recovered on seven."""

import math

import pytest
import torch
from torch.testing import assert_close

from workbench.measure import preference_fit
from workbench.worlds import preference_games
from workbench.worlds.reviews import Reviews

F64 = torch.float64


def crowd(seed=0, n=7):
    """Preferences with two turns."""
    table = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed), dtype=F64)
    one, two = table[:, None].unflatten(-1, (2, 2)), table[None].unflatten(-1, (2, 2))
    odds = (one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]).sum(-1)
    return odds.sigmoid()


def test_excess_by_hand():
    """p = ¾ stated as one half: log 2 − H(¾); stated as it is: 0."""
    matrix = torch.tensor([[0.5, 0.75], [0.25, 0.5]], dtype=F64)
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    got = preference_fit.excess(torch.zeros(2, 2, dtype=F64), matrix)
    assert got == pytest.approx(math.log(2) - entropy)
    assert preference_fit.excess(matrix.logit(), matrix) == pytest.approx(0.0)


def test_agreement_by_hand():
    """Rock, paper, scissors: a ranking is right about two of three pairs."""
    matrix = preference_games.rps(0.3)
    ranking = torch.tensor([2.0, 1.0, 0.0], dtype=F64)
    odds = ranking[:, None] - ranking
    assert preference_fit.agreement(odds, matrix) == pytest.approx(2 / 3)
    assert preference_fit.agreement(matrix.logit(), matrix) == pytest.approx(1.0)
    only = torch.zeros(3, 3, dtype=F64)
    only[0, 1] = 1.0
    assert preference_fit.agreement(odds, matrix, only) == 1.0


def test_votes_are_shares_of_different_responses_won_as_the_matrix_says():
    matrix, n = preference_games.rps(0.3), 60_000
    share = preference_fit.votes(matrix, n, torch.Generator().manual_seed(1))
    assert share.sum().item() == pytest.approx(1.0)
    assert share.diagonal().abs().max() == 0
    met = share + share.T
    assert (met - 2 / 6)[~torch.eye(3).bool()].abs().max() < 4 * (2 / 9 / n) ** 0.5
    won = (share / met)[0, 1].item()
    assert abs(won - 0.8) < 4 * (0.16 / (n / 3)) ** 0.5


def test_scores_are_those_of_newtons_method():
    matrix = crowd(2)
    share = preference_fit.even(7) * matrix
    evenly = torch.zeros(7, dtype=F64).log_softmax(-1)
    best = preference_games.bradley_terry(matrix, evenly)
    found = preference_fit.fitted(share, 0)
    assert_close(found, best[:, None] - best, atol=1e-5, rtol=0)


def test_two_turns_are_found_and_one_is_not_enough():
    matrix = crowd(3)
    share = preference_fit.even(7) * matrix
    lost = [
        preference_fit.excess(preference_fit.fitted(share, k), matrix)
        for k in (0, 1, 2)
    ]
    assert lost[0] > lost[1] > 1e-3 and lost[2] < 1e-8
    odds = preference_fit.fitted(share, 2)
    assert_close(odds, -odds.T)
    assert_close(odds, matrix.logit(), atol=1e-3, rtol=0)


def test_a_price_keeps_the_numbers_small():
    """One label in favour of the first: without a price its margin would grow."""
    share = torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=F64)
    # scores ±D/2 cost D²/2 times the price ⅛: σ(−D) = D/8
    margin = preference_fit.fitted(share, 0, price=0.125)[0, 1].item()
    assert 1 / (1 + math.exp(margin)) == pytest.approx(margin / 8, abs=1e-7)


def test_a_table_is_a_ranking_and_a_rest_whose_rows_add_up_to_0():
    """Three responses: the rest is one number round the circle, their mean."""
    odds = torch.tensor([[0.0, 1.5, 1.0], [-1.5, 0.0, 2.0], [-1.0, -2.0, 0.0]]).double()
    scores, rest = preference_fit.circle(odds)
    assert_close(scores[:, None] - scores + rest, odds)
    assert rest.sum(-1).abs().max() < 1e-12
    around = (1.5 + 2.0 - 1.0) / 3
    assert_close(
        [rest[0, 1], rest[1, 2], rest[2, 0]], 3 * [torch.tensor(around).double()]
    )
    ranking = torch.tensor([1.0, 0.2, -1.2], dtype=F64)
    assert preference_fit.circle(ranking[:, None] - ranking)[1].abs().max() < 1e-12


def test_pairs_are_chosen_as_the_crowd_votes():
    """Of two prompts: in the first the lower number wins with ¾, in the second 0."""
    world, n = Reviews(max_words=1), 8000
    many = world.n_responses
    lower = torch.ones(many, many, dtype=F64).triu(1)
    first = 0.75 * lower + 0.25 * lower.T + 0.5 * torch.eye(many)
    matrix = torch.stack([first, lower.T + 0.5 * torch.eye(many)])
    pairs = preference_fit.voted(world, matrix, n, torch.Generator().manual_seed(0))
    assert pairs.chosen.prompt.bincount().tolist() == [n // 2, n // 2]
    less = pairs.chosen.response < pairs.rejected.response
    assert (pairs.chosen.response != pairs.rejected.response).all()
    assert not less[pairs.chosen.prompt == 1].any()
    share = less[pairs.chosen.prompt == 0].double().mean().item()
    assert abs(share - 0.75) < 4 * (0.1875 / (n / 2)) ** 0.5
    counts = pairs.both.response.bincount(minlength=many) / (2 * n)
    assert (counts - 1 / many).abs().max() < 4 * (1 / many / n) ** 0.5


class LikesTheFirst:
    """Two models: log 3 for whatever stands first, and no view."""

    members = 2

    def odds(self, first, second):
        return torch.tensor([math.log(3), 0.0]).repeat_interleave(len(first) // 2)


def test_a_model_that_likes_a_place_contradicts_itself():
    """¾ + ¾ − 1 = ½, and ½ + ½ − 1 = 0."""
    world = Reviews(max_words=1)
    matrix = torch.full((4, world.n_responses, world.n_responses), 0.5, dtype=F64)
    pairs = preference_fit.voted(world, matrix, 8, torch.Generator().manual_seed(0))
    found = preference_fit.contradiction(LikesTheFirst(), pairs)
    assert found.tolist() == pytest.approx([0.5, 0.0])
