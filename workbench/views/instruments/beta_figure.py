"""The picture of the β explorer: where π*_β stands, and what it likes to write."""

import numpy as np
import pandas as pd

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.beta_state import BetaState
from workbench.views.layers import Bars, Line, Points, VLine
from workbench.views.style import role

ROOT = "√KL(π*‖π_ref) (√nats)"


def optimises_gold(path: pd.DataFrame) -> bool:
    """Whether what is optimised is gold itself: then there is no proxy to draw."""
    return bool((path["gold"] - path["proxy"]).abs().max() < 1e-9)


def beta_caption(state: BetaState, path: pd.DataFrame) -> str:
    """One sentence about a state, computed from it."""
    peak = path.loc[path["gold"].idxmax()]
    loss = max(0.0, peak["gold"] - state.gold)
    of, most = ("", "as β → 0") if optimises_gold(path) else (" of the proxy", "")
    most = most or f"β = {peak['beta']:.2g}"
    return (
        f"At β = {state.beta:.3g} the optimum{of} is {state.kl:.2f} nats from "
        f"the reference; its gold reward is {state.gold:.2f}, {loss:.2f} reward units "
        f"below the most that any β reaches ({most})."
    )


def below_frontier(state: BetaState, frontier: pd.DataFrame) -> float:
    """How much more gold the same KL buys, reward units; 0 on the frontier.

    Args:
        state: of an optimum of any reward.
        frontier: ``beta_path`` of gold, for the same prompt.
    """
    rising = frontier.sort_values("kl")
    bought = np.interp(state.kl, rising["kl"], rising["gold"])
    return max(0.0, bought - state.gold)


def _curves(state: BetaState, path: pd.DataFrame, frontier: pd.DataFrame | None):
    """Lines along the path and the points of π*_β on them."""
    here = [max(state.kl, 0.0) ** 0.5]
    known = ("gold",) if optimises_gold(path) else ("proxy", "gold")
    lines = [(path, it, it, role(it)) for it in known]
    if frontier is not None:  # its gold is gold's own path: one line is enough
        lines = [] if len(known) < 2 else lines
        lines.insert(0, (frontier, "gold", "frontier: optima of gold", role("exact")))
    style = role("exact" if frontier is None else "guide")
    layers: list = [VLine(here[0], f"π* at β = {state.beta:.3g}", style)]
    for whole, column, label, look in lines:
        frame = whole[::2]  # as smooth to the eye, and half as long in a page
        root = (frame["kl"].clip(lower=0) ** 0.5).tolist()
        layers.append(Line(root, frame[column].tolist(), label, look))
    dots = (Points(here, [getattr(state, it)], "", role(it), size=9) for it in known)
    return known, [*layers, *dots]


def beta_figure(
    state: BetaState,
    path: pd.DataFrame,
    prompt: str,
    frontier: pd.DataFrame | None = None,
) -> Fig:
    """Gold and proxy along the path with π*_β marked, and its likeliest reviews.

    Args:
        state: of the optimum that is marked.
        path: ``beta_path`` of the reward that it optimises.
        prompt: whose reviews they are.
        frontier: ``beta_path`` of gold, drawn as well if given.
    """
    known, layers = _curves(state, path, frontier)
    remark = state.top["review"], state.top["gold"]
    names = [f"{r} ({g:+.1f})" for r, g in zip(*remark, strict=True)]
    bars = [
        Bars(names, state.top["optimum"].tolist(), "π* (exact)", role("exact")),
        Bars(names, state.top["reference"].tolist(), "π_ref", role("reference")),
    ]
    earned = ", ".join(f"{it} {getattr(state, it):.2f}" for it in reversed(known))
    title = f"Prompt “{prompt}”, β = {state.beta:.3g}: KL {state.kl:.2f} nats, {earned}"
    head = "Gold reward of all optima" if len(known) < 2 else "All optima of the proxy"
    left = Chart(head, ROOT, "expected reward (reward units)", layers)
    right = Chart("Likeliest reviews (gold)", "probability", "", bars, horizontal=True)
    panels, told = Panels([left, right], title, height=3.4), beta_caption(state, path)
    if frontier is not None and len(known) > 1:
        lost = below_frontier(state, frontier)
        told = f"{told[:-1]}, and {lost:.2f} below what the frontier has at this KL."
    return Fig(panels, told, state.top)
