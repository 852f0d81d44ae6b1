"""The link dial: the loss of three links, its push, and where a pair's margin stops."""

from math import nan

import numpy as np
import pandas as pd

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider, powers
from workbench.views.instruments.link_state import (
    FAMILIES,
    RATE,
    STEPS,
    Pulled,
    margin_walk,
)
from workbench.views.instruments.page_rule import Exact
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import HLine, Line, Points, VLine
from workbench.views.style import looks, role

BETAS, TAUS = (0.1, 2.0), (0.1, 1.0)  # ends of the sliders
MARGINS = tuple(i / 20 for i in range(-40, 221))  # nats
SEEN = np.unique(np.geomspace(1, STEPS, 41).astype(int)).tolist()
FLIPS = tuple(i / 100 for i in range(0, 46, 3))
LOSS, PUSH = 3.0, 2.1  # ends of two panels
BEYOND = 1.5  # as far as this a line is drawn, in ends of its panel


def link_figure(beta: float | int, tau: float | int, flips: float | int = 0.0) -> Fig:
    """Three panels: loss and push against the margin, and the margin along steps.

    Args:
        beta: strength of DPO and of the hinge, 1/nats.
        tau: strength of IPO, preference probability per nat.
        flips: ε, the share of labels that say the opposite.
    """
    losses, pushes, walks, rows = [], [], [], []
    for name, style in looks(FAMILIES).items():
        link = FAMILIES[name]
        pulled = Pulled(link, tau if link.by_tau else beta, flips)
        value = [within(pulled.loss(margin), LOSS) for margin in MARGINS]
        slope = [within(pulled.push(margin), PUSH) for margin in MARGINS]
        path = margin_walk(pulled)
        end = path[-1]
        losses.append(Line(MARGINS, value, name, style))
        pushes.append(Line(MARGINS, slope, name, style))
        walks.append(Line(SEEN, [path[step] for step in SEEN], name, style))
        rows.append((name, end, pulled.loss(end), pulled.push(end)))
    table = pd.DataFrame(rows, columns=["link", "margin", "loss", "push"])
    ends = [within(loss, LOSS) for loss in table["loss"]]
    stops = Points(
        table["margin"].tolist(), ends, f"after {STEPS:,} steps", role("exact")
    )
    unit = "margin D (nats)"
    charts = [
        Chart("Loss ℓ(D)", unit, "loss", [*losses, stops], y_range=(-0.1, LOSS)),
        Chart(
            "Push w(D) = −ℓ′(D)", unit, "loss per nat",
            [HLine(0.0), VLine(0.0), *pushes], y_range=(-PUSH, PUSH),
        ),
        Chart("Where the margin goes", "step", unit, walks, x_log=True),
    ]  # fmt: skip
    return Fig(Panels(charts), _told(table, beta, tau, flips), table)


def within(value: float, end: float) -> float:
    """A value, or not a number where it is far outside its panel."""
    return value if abs(value) <= BEYOND * end else nan


def _told(
    table: pd.DataFrame, beta: float | int, tau: float | int, flips: float | int
) -> str:
    wins = f"wins {1 - flips:.0%} of its labels" if flips else "always wins"
    told = ", ".join(
        f"{name} at {margin:.2f}"
        for name, margin in zip(table["link"], table["margin"], strict=True)
    )
    return (
        f"After {STEPS} steps with β = {beta:g} and τ = {tau:g} the margin of a pair "
        f"that {wins} is {told} nats."
    )


def link_explorer(
    *, beta: float | int = 1.0, tau: float | int = 0.5, live: bool | None = None
) -> Instrument:
    """What DPO, the hinge and IPO make of one pair.

    Args:
        beta: where the slider of DPO and of the hinge starts, 1/nats.
        tau: where that of IPO starts, preference probability per nat.
        live: True, False, or None to ask the surroundings.
    """
    controls = {
        "beta": powers("β of DPO and hinge", beta, low=BETAS[0], high=BETAS[1]),
        "tau": powers("τ of IPO", tau, low=TAUS[0], high=TAUS[1]),
        "flips": Slider("ε, flipped labels", FLIPS, 0.0),
    }
    tables = {
        "data": link_figure(beta, tau).plotly["data"],
        "margins": list(MARGINS),
        "seen": SEEN,
        "steps": STEPS,
        "rate": RATE,
        "ends": [BEYOND * LOSS, BEYOND * PUSH],
    }
    return Instrument(
        "Link explorer", link_figure, controls, live,
        computed_by=margin_walk, exact=Exact("link", tables),
    )  # fmt: skip
