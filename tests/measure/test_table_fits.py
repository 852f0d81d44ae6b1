"""Tables of scores at the minimum of a loss: by hand, and where there is none."""

import math

import pytest
import torch

from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.graded_pairs import GradedScores
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.measure.table_fits import compared, fitted, ranked, scores_of
from workbench.methods.reward.pairwise import bt, rm_margin, rm_smooth

SHAPE = (2, 2)
# of ten meetings of two responses the first wins eight, and five for the second seed
WINS = torch.tensor([[True] * 8 + [False] * 2, [True] * 5 + [False] * 5])


def meetings(scores):
    """The first against the second response, ten times for each seed."""
    first, second = (scores[:, i, None].expand(-1, 10) for i in (0, 1))
    sides = torch.where(WINS, first, second), torch.where(WINS, second, first)
    return PairScores(sides[0].flatten(), sides[1].flatten())


def leads(method, cfg, make=meetings, **how):
    scores = fitted(method, cfg, make, SHAPE, **how)
    assert scores.dtype == torch.float64
    return (scores[:, 0] - scores[:, 1]).tolist(), scores.sum(1).tolist()


def test_the_lead_is_the_log_odds_of_the_wins_and_the_ridge_fixes_the_level():
    lead, level = leads(bt, bt.Config(), ridge=1e-9)
    assert lead == pytest.approx([math.log(4), 0], abs=1e-6)
    assert level == pytest.approx([0, 0], abs=1e-6)


def test_the_ridge_balances_the_slope_of_the_mean_loss():
    """0.8 − σ(2r) = ridge·r at scores ±r, whatever the other seed does."""
    [[lead, _], _] = leads(bt, bt.Config(), ridge=0.1)
    r = lead / 2
    assert 0.8 - 1 / (1 + math.exp(-2 * r)) == pytest.approx(0.1 * r, abs=1e-8)


def test_graded_margins_end_at_their_closed_form():
    """p σ(m − D) = (1 − p) σ(m + D) with p = 0.8 and m = 1."""

    def graded(scores):
        both = meetings(scores)
        return GradedScores(both.chosen, both.rejected, torch.ones(20).double())

    [[lead, even], _] = leads(rm_margin, rm_margin.Config(), graded, ridge=1e-9)
    p, e = 0.8, math.exp(-1)
    root = math.sqrt((2 * p - 1) ** 2 + 4 * p * (1 - p) * e * e)
    assert lead == pytest.approx(math.log((2 * p - 1 + root) / (2 * (1 - p) * e)))
    assert even == pytest.approx(0, abs=1e-6)


def test_a_loss_without_a_minimum_is_refused():
    """Wins seen in 0.8, flips assumed in 0.3: clean, that would be 1.25."""
    told = rm_smooth.Config(0.3, "unbiased")
    with pytest.raises(BadCall, match="rm_smooth: no minimum was found"):
        leads(rm_smooth, told, ridge=0.0)


REWARDS = torch.tensor([0.0, 1.0, 3.0]).double()


def sources():
    return [generator(seed, "test") for seed in range(2)]


def test_pairs_are_labelled_as_bradley_terry_says_and_flipped():
    """1 against 0 wins with σ(1) = 0.731; one time in five it is recorded wrongly."""
    for flip, want in ((0.0, 0.731), (0.2, 0.2 + 0.6 * 0.731)):
        [chosen, rejected], felt = compared(
            REWARDS, 6000, Annotator(flip=flip), sources()
        )
        assert chosen.shape == felt.shape == (2, 6000) and (felt >= 0).all()
        assert (chosen != rejected).all()
        met = chosen + rejected == 1
        assert met.double().mean().item() == pytest.approx(1 / 3, abs=0.02)
        assert chosen[met].double().mean().item() == pytest.approx(want, abs=0.03)
    sure = Annotator(deterministic=True)
    [chosen, rejected], felt = compared(REWARDS, 50, sure, sources())
    assert (felt == REWARDS[chosen] - REWARDS[rejected]).all()


def test_lists_are_ranked_as_plackett_luce_says():
    """Of all three the last is first with e³/(1 + e + e³) = 0.844."""
    lists, felt = ranked(REWARDS, 4000, 3, Annotator(), sources())
    assert lists.shape == felt.shape == (2, 4000, 3)
    assert (lists.sort(-1).values == torch.arange(3)).all()
    first = lists.gather(2, felt.argmax(-1, keepdim=True))
    share = (first == 2).double().mean().item()
    assert share == pytest.approx(math.exp(3) / (1 + math.e + math.exp(3)), abs=0.02)
    few, _ = ranked(REWARDS, 10, 2, Annotator(), sources())
    assert (few[..., 0] != few[..., 1]).all()


def test_scores_are_those_of_the_own_seed():
    table = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double()
    numbers = torch.tensor([[[1, 0], [1, 1]], [[0, 0], [1, 0]]])
    found = scores_of(table, numbers)
    assert found.tolist() == [[[2, 1], [2, 2]], [[3, 3], [4, 3]]]
