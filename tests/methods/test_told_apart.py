"""Inputs that tell a method from its near misses.

Where a setting equals another, a permutation is its own inverse or an order is never
looked at, a wrong line gives the right number. Here none of these hold.
"""

import math
import re
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64
from tests.methods.listwise import with_logratios
from workbench.core.seeds import generator
from workbench.feedback.kinds.lists import Lists
from workbench.feedback.kinds.rollouts import Rollouts
from workbench.methods.direct.data import rso
from workbench.methods.direct.lists import lipo
from workbench.methods.games import nash_md
from workbench.methods.policy_gradient.ppo import ppo
from workbench.worlds.reviews import Reviews


def test_ranks_of_an_order_that_is_not_its_own_inverse():
    """(1, 3, 2): the second is first, the third second, the first third."""
    assert lipo.ranks(torch.tensor([[1.0, 3, 2]])).tolist() == [[3, 1, 2]]
    assert lipo.ranks(torch.tensor([[2.0, 1, 3, 0]])).tolist() == [[2, 3, 1, 4]]


def test_lipo_by_hand_where_the_order_is_not_its_own_inverse():
    """β = 1, e^d = (1, 4, 2), so ranks (3, 1, 2); gains 2^ψ − 1 of (0, 1, 3).

    Pairs (third, first), (third, second), (second, first) with the gaps of gain 3, 2,
    1 and the logarithms log(1 + 1/2), log(1 + 2), log(1 + 1/4).
    """
    first, second, third = (1 / math.log(1 + rank) for rank in (1, 2, 3))
    batch = with_logratios([math.log(v) for v in (1, 4, 2)], (0.0, 1.0, 2.0))
    want = 3 * (second - third) * math.log(1.5)
    want += 2 * (first - second) * math.log(3)
    want += 1 * (first - third) * math.log(1.25)
    got = lipo.loss(batch, lipo.Config(beta=1.0, labels="scores"))
    assert_close(got.tolist(), [want])


@pytest.mark.parametrize(("clip_value", "want"), [(0.7, 2.25), (0.1, 3.61)])
def test_the_value_has_a_clip_of_its_own(clip_value, want):
    """V_old = 1, V = 1.5, G = 3: (1.5 − 3)² = 2.25, and (1.1 − 3)² = 3.61."""
    one = torch.ones(1, 1, dtype=F64)
    batch = Rollouts(
        policy=-one, old=-one, ref=-one, mask=one.bool(), scores=one[0],
        values=1.5 * one, old_values=one, returns=3 * one, advantages=one,
    )  # fmt: skip
    for clip in (0.05, 0.3):
        cfg = ppo.Config(clip=clip, clip_value=clip_value, value_weight=1.0)
        assert_close(ppo.value_loss(batch, cfg).tolist(), [want / 2])


def test_the_policy_has_a_clip_of_its_own():
    """ρ = 1.5, A = 1: min(1.5, 1 + ε), whatever the clip of the value."""
    one = torch.ones(1, 1, dtype=F64)
    batch = Rollouts(
        policy=-one, old=-one - math.log(1.5), ref=-one, mask=one.bool(),
        scores=one[0], advantages=one,
    )  # fmt: skip
    for clip, want in ((0.1, -1.1), (0.3, -1.3), (0.9, -1.5)):
        cfg = ppo.Config(clip=clip, clip_value=0.2)
        assert_close(ppo.policy_loss(batch, cfg).tolist(), [want])


def test_kept_responses_are_joined_at_random():
    """Scores 1,000 β apart are accepted one after the other, the best first.

    The best is then joined to each of the three others in a third of the lists.
    """
    world, n = Reviews(2), 1200
    number = torch.arange(1, 5).repeat(n)
    tokens = world.tokens(torch.zeros_like(number), number)
    scores = -1000.0 * torch.arange(4, dtype=F64).expand(n, 4)
    lists = Lists(tokens, scores, 0 * scores, torch.ones(n, dtype=F64))
    made = rso.pairs(lists, rso.Config(beta=1.0, keep=4), generator(0))
    assert len(made) == 2 * n
    best = made.chosen.response == 1
    assert best.sum() == n
    share = made.rejected.response[best].bincount(minlength=5)[2:] / n
    assert (share - 1 / 3).abs().max() < 4 * (2 / 9 / n) ** 0.5


@pytest.mark.parametrize(
    ("mix", "odds"), [(0.0, 1.0), (0.25, 2.0), (0.5, 4.0), (1.0, 16.0)]
)
def test_the_opponent_is_mixed_with_the_reference_by_its_share(mix, odds):
    """π = (1, 1)/2 and π_ref = (16, 1)/17: the odds of the mixture are 16^mix."""
    logps = torch.tensor([0.5, 0.5], dtype=F64).log()
    ref = torch.tensor([16.0, 1], dtype=F64).log().log_softmax(-1)
    got = nash_md.opponent(logps, ref, nash_md.Config(mix=mix)).exp()
    assert_close(got, torch.tensor([odds, 1], dtype=F64) / (odds + 1))


def test_the_first_steps_of_the_schedule_by_hand():
    """2/(τ(t + 2)) at τ = ½: 2, 4/3, 1; so η_0 τ = 1, and π_0 is forgotten at once."""
    cfg = nash_md.Config(tau=0.5)
    seen = [nash_md.schedule(t, cfg) for t in (0, 1, 2)]
    assert seen == pytest.approx([2, 4 / 3, 1])


def test_no_default_cites_a_source_that_nobody_else_can_read():
    """A default says where it is from: a paper, code, "at second hand" or "ours"."""
    root = Path(ppo.__file__).parents[2]
    told = {
        path.name: found
        for path in root.rglob("*.py")
        if (found := re.findall(r"\b(?:our|own) cards?\b", path.read_text()))
    }
    assert told == {}
