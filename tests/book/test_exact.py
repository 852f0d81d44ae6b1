"""What a page computes by itself is what the library computes."""

import json
from functools import partial

import pytest
import torch

from tests.local import ROOT
from workbench.core.seeds import generator
from workbench.views.instruments import beta_explorer, link_explorer, walk_explorer
from workbench.views.instruments.clip_explorer import clip_explorer
from workbench.views.instruments.controls import Switch
from workbench.views.instruments.states import differences
from workbench.worlds import preference_games
from workbench.worlds.reviews import Reviews

SCRIPT = ROOT / "workbench" / "book" / "static" / "exact.js"
NAMES = ["rock", "paper", "scissors"]
NEAR = 1e-4  # a line in a figure has five digits


@pytest.fixture(scope="module")
def page(chrome):
    """An empty page that knows the rules."""
    page = chrome.new_page()
    page.add_script_tag(path=SCRIPT)
    return page


def clip():
    return clip_explorer(live=False)


def walk():
    ref = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
    game = preference_games.biased_rps(0.18, 0.14, 0.16)
    return walk_explorer(game, ref, NAMES, live=False)


def link():
    return link_explorer(live=False)


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def beta(two=True):
    world = Reviews(max_words=3)
    noise = torch.randn(world.gold.shape, generator=generator(3, "noise"))
    rewards = {"proxy": world.gold, "wrong": 0.5 * world.gold + noise.double()}
    if not two:
        rewards = {"proxy": rewards["wrong"]}
    return beta_explorer(world, world.author, **rewards, live=False)


def is_room(path):
    """Whether this is how wide a panel is: it depends on the longest word beside it."""
    return path[0] == "layout" and (path[-1] == "x" or "domain" in path)


def apart(one, other, path):
    """Where two JSON values differ by more than what rounding explains."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {*one, *other}:
            yield from apart(one.get(key), other.get(key), [*path, key])
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield path, len(one), len(other)
        for n, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            yield from apart(mine, theirs, [*path, n])
    elif isinstance(one, float | int) and isinstance(other, float | int):
        if abs(one - other) > NEAR * max(1, abs(other)):
            yield path, one, other
    elif one != other:
        yield path, one, other


MOVES = [
    (beta, {"beta": 0.32}),
    (beta, {"beta": 0.2, "use_wrong": True}),
    (beta, {"beta": 25.0, "use_wrong": True, "prompt": "cast"}),
    (beta, {"prompt": "music", "beta": 0.032}),
    (partial(beta, two=False), {"prompt": "plot", "beta": 0.1}),
    (clip, {"clip": 0.33}),
    (clip, {"clip": 0.05}),
    (link, {"beta": 0.13, "tau": 0.16}),  # 1/2τ is 3.125: a half is told to even
    (link, {"beta": 2.0, "flips": 0.09}),
    (link, {"tau": 0.1, "flips": 0.45}),
    (link, {"beta": 0.2, "flips": 0.45}),  # one line covers another
    (walk, {"tau": 0.1}),
    (walk, {"n": 2}),
    (walk, {"n": 7, "start": "14 / 57 / 29", "first": 0.9, "third": 0.2, "tau": 0.02}),
    (walk, {"n": 60, "tau": 0.5, "second": 0.05}),
]


@pytest.mark.parametrize(
    ("make", "moved"),
    MOVES,
    ids=lambda v: str(getattr(v, "__name__", v)).partition(" at 0x")[0],
)
def test_a_rule_makes_the_changes_that_the_library_makes(page, make, moved):
    instrument = make()
    kept = json.loads(json.dumps(instrument.states()))
    values = instrument.defaults | moved
    rule = kept["exact"] | {"values": values}
    changes = page.evaluate("i => workbench.rules[i.rule](i.tables, i.values)", rule)
    figure = instrument.draw(**values)
    right = figure.plotly | {"caption": figure.caption}
    for change in changes:
        far = list(apart(change["value"], at(right, change["path"]), change["path"]))
        assert [one for one in far if not is_room(one[0])] == []
    known = [change["path"] for change in changes]
    start = instrument.start.plotly
    missed = [c["path"] for c in differences(start, figure.plotly)]
    assert [p for p in missed if not any(p[: len(k)] == k for k in known)] == []


@pytest.mark.parametrize("make", [beta, clip, link, walk])
def test_the_page_gets_all_values_of_the_sliders(make):
    instrument = make()
    kept = instrument.states()
    assert "states" not in kept
    for control in kept["controls"]:
        here = instrument.controls[control["name"]]
        values = here.grid() if isinstance(here, Switch) else list(here.values)
        assert control["numbers"] == values
        assert control["numbers"][control["start"]] == here.start
        assert len(control["values"]) == len(control["numbers"])
