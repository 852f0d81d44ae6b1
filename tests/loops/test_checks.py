"""Parts that do not belong together are told apart before the first step."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.loops import games, offline, online, reward, rounds
from workbench.loops.checks import check_rows
from workbench.methods.direct.links import dpo
from workbench.methods.direct.unpaired import kto
from workbench.methods.games import nash_md
from workbench.methods.policy_gradient.ppo import ppo
from workbench.methods.policy_gradient.reinforce import rloo
from workbench.methods.reward.pairwise import bt
from workbench.models.policy import TabularPolicy
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=1)
SETTINGS = {"steps": 1, "batch_size": 4}


def table() -> TabularPolicy:
    return TabularPolicy(WORLD)


def pairs(n=8):
    logps = table().response_logps().detach()
    return sample_pairs(WORLD, logps, n, Annotator(), generator(0))


def gold(tokens):
    return WORLD.gold_reward(tokens)


def of_offline(**changes):
    parts = {"policy": table(), "reference": table(), "data": pairs(), "method": dpo}
    parts |= {"cfg": dpo.Config()} | changes
    return offline.fit(*parts.values(), **SETTINGS)


def needing_nothing(method):
    """The same method, if it said that it reads no reference."""
    parts = {name: vars(method)[name] for name in (*method.card.hooks, "loss")}
    return SimpleNamespace(card=replace(method.card, needs=()), **parts)


WRONG = {
    "kto reads ThumbLogps (thumbs), and these data make PairLogps": lambda: of_offline(
        method=kto, cfg=kto.Config()
    ),
    "dpo takes its own Config, not workbench.methods.direct.unpaired.kto.Config": (
        lambda: of_offline(cfg=kto.Config())
    ),
    "dpo compares the policy with a reference, which is None": lambda: of_offline(
        reference=None
    ),
    "all parameters of the policy are frozen": lambda: of_offline(
        policy=table().requires_grad_(False)
    ),
    "the data set is empty": lambda: of_offline(data=pairs()[torch.tensor([]).long()]),
    "9 examples cannot be shared by a stack of 2 seeds": lambda: check_rows(
        "dpo", 9, 2
    ),
    "ppo learns with a critic": lambda: online.fit(
        table(), table(), WORLD, gold, ppo, ppo.Config(), **SETTINGS
    ),
    "rloo compares the policy with a reference": lambda: online.fit(
        table(), None, WORLD, gold, rloo, rloo.Config(), **SETTINGS
    ),
    "dpo has no function advantages": lambda: online.fit(
        table(), table(), WORLD, gold, dpo, dpo.Config(), **SETTINGS
    ),
    "dpo has no function opponent": lambda: games.fit(
        table(), table(), WORLD, lambda *rows: rows[0], dpo, dpo.Config(), **SETTINGS
    ),
    "nash_md reads GameRollouts": lambda: rounds.fit(
        table(), table(), WORLD, lambda a, b: torch.full((len(a),), 0.5), nash_md,
        nash_md.Config(), **SETTINGS,
    ),
    "the loop games reads a reference, which is None": lambda: games.fit(
        table(), None, WORLD, lambda *rows: rows[0], needing_nothing(nash_md),
        nash_md.Config(), **SETTINGS,
    ),
    "a list of data sets is for several seeds": lambda: of_offline(
        data=[pairs(), pairs()]
    ),
    "TabularPolicy or Pairs cannot be stacked": lambda: offline.fit(
        table(), table(), [pairs(), pairs()], dpo, dpo.Config(), seeds=2, **SETTINGS
    ),
    "2 seeds need 2 data sets, not one": lambda: offline.fit(
        table(), table(), pairs(), dpo, dpo.Config(), seeds=2, **SETTINGS
    ),
    "at least one update": lambda: rounds.fit(
        table(), table(), WORLD, lambda a, b: torch.full((len(a),), 0.5), dpo,
        dpo.Config(), updates=0, **SETTINGS,
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_said_in_a_sentence(message):
    with pytest.raises(Exception) as caught:
        WRONG[message]()
    assert isinstance(caught.value, BadCall), repr(caught.value)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_fits_is_trained():
    run = of_offline()
    assert len(run.metrics) == 2
    assert bt.card.loop is reward
