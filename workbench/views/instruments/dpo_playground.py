"""The DPO playground: what β, data and their faults do to a run, in three views."""

from functools import cache

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.models import tiny
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider, Switch
from workbench.views.instruments.playground_state import (
    KEPT,
    MOST_PAIRS,
    Playground,
    labelled,
    measured,
    playground_state,
    table_path,
)
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import HLine, Line, Points
from workbench.views.style import role
from workbench.worlds import solutions
from workbench.worlds.reviews import Reviews

BETAS = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
PAIRS = (50, 100, 200, 500, 1000, MOST_PAIRS)
FLIPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
BIASES = (-1.0, -0.5, 0.0, 0.5, 1.0)
TOP = 4
Table = Float[Tensor, "prompt response"]


def dpo_playground(
    world=None,
    ref_logps: Table | None = None,
    *,
    beta: float | int = 0.3,
    live: bool | None = None,
) -> Instrument:
    """DPO of a table of all reviews, trained anew at every move of a control.

    Args:
        world: an enumerable world; the reviews of at most three words if None.
        ref_logps: log π_ref of every response, nats; the course's reference if None.
        beta: where the slider of β starts, reward units per nat.
        live: True, False, or None to ask the surroundings.
    """
    world = Reviews(3) if world is None else world
    if ref_logps is None:
        ref_logps = tiny.reference(world).response_logps(world)
    ref = ref_logps.detach().double()
    data = cache(lambda flip, bias: labelled(world, ref, flip, bias))
    frontier = cache(lambda: _frontier(world, ref))

    @cache
    def path(beta, n, flip, bias, mean):
        return table_path(ref, data(flip, bias)[:n], beta, mean)

    def draw(beta, n, flip, bias, steps, mean) -> Fig:
        kept = path(beta, n, flip, bias, mean)[: KEPT.index(steps) + 1]
        state = measured(world, ref, data(flip, bias)[:n], beta, kept)
        return playground_figure(world, ref, state, beta, frontier())

    few = (0.1, 0.3, 1.0, 3.0), (100, 500, MOST_PAIRS), (0.0, 0.2, 0.4)
    betas = sorted({*BETAS, beta})
    controls = {
        "beta": Slider("β", betas, beta, few[0]),
        "n": Slider("pairs", PAIRS, MOST_PAIRS, few[1]),
        "flip": Slider("flipped labels", FLIPS, 0.0, few[2]),
        # a book has the states of a few values only and leaves these two alone
        "bias": Slider("bias per word", BIASES, 0.0, (0.0,)),
        "steps": Slider("steps", KEPT, KEPT[-1], KEPT[-1:]),
        "mean": Switch("mean over tokens (a mistake)"),
    }
    return Instrument(
        "DPO playground", draw, controls, live, computed_by=playground_state
    )


def _frontier(world, ref: Table) -> pd.DataFrame:
    betas = np.geomspace(50, 0.05, 41)
    return solutions.frontier(ref, world.gold, world.gold, betas)


def playground_figure(
    world, ref: Table, state: Playground, beta: float | int, frontier: pd.DataFrame
) -> Fig:
    """Three panels: implicit rewards, drift, and gold against drift.

    Args:
        world: an enumerable world.
        ref: log π_ref of every response, nats.
        state: the run.
        beta: reward units per nat.
        frontier: `solutions.frontier` of gold.
    """
    curves = state.curves
    steps, end = curves["step"].tolist(), curves.iloc[-1]
    best_kl = solutions.kl(state.optimum, ref).mean().item()
    best_gold = solutions.expectation(state.optimum, world.gold).mean().item()
    sides = ("chosen", "rejected", "margin")
    rewards = [Line(steps, curves[side].tolist(), side, role(side)) for side in sides]
    drift = Line(steps, curves["kl"].tolist(), "policy", role("policy"))
    root = (curves["kl"].clip(lower=0) ** 0.5).tolist()
    far = frontier["kl"].clip(lower=0) ** 0.5
    bought = [
        Line(far.tolist(), frontier["gold"].tolist(), "best at its KL", role("exact")),
        Points([best_kl**0.5], [best_gold], "π* of this β", role("exact"), size=9),
        Line(root, curves["gold"].tolist(), "policy, along steps", role("policy")),
        Points(root[-1:], [end["gold"]], "its end", role("policy"), size=9),
    ]
    gold = "gold (reward units)"
    charts = [
        Chart("Implicit rewards", "step", "reward units", [HLine(0.0), *rewards]),
        Chart(
            "Drift KL(π‖π_ref)",
            "step",
            "nats",
            [HLine(best_kl, "π*", role("exact")), drift],
        ),
        Chart("Gold bought with drift", "√KL (√nats)", gold, bought),
    ]
    favourites = favourite_reviews(world, ref, state)
    first = favourites.iloc[0]
    told = (
        f"After {steps[-1]} steps at β = {beta:g} gold is {end['gold']:.2f} at a KL of "
        f"{end['kl']:.2f} nats (π*: {best_gold:.2f} at {best_kl:.2f}), KL(π‖π*) is "
        f"{state.distance:.2f} nats, a review has {state.words:.1f} words, and the "
        f"favourite for {first['prompt']} is “{first['review']}” (probability "
        f"{first['policy']:.2f}, gold {first['gold']:+.1f})."
    )
    return Fig(Panels(charts, height=3.0), told, favourites, rows=len(favourites))


def favourite_reviews(world, ref: Table, state: Playground) -> pd.DataFrame:
    """The likeliest reviews of each prompt, beside the optimum and the reference.

    Args:
        world: an enumerable world.
        ref: log π_ref of every response, nats.
        state: the run.

    Returns:
        DataFrame[prompt, review, policy, optimum, reference, gold].
    """
    rows = []
    for i, prompt in enumerate(world.prompts):
        for y in state.logps[i].topk(TOP).indices.tolist():
            tables = state.logps, state.optimum, ref
            odds = (table[i, y].exp().item() for table in tables)
            rows.append((prompt, world.text(y), *odds, world.gold[i, y].item()))
    columns = ["prompt", "review", "policy", "optimum", "reference", "gold"]
    return pd.DataFrame(rows, columns=columns)
