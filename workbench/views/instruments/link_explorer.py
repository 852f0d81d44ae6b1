"""The link explorer: the push of links, and where a pair that always wins goes."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import powers
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import HLine, Line, VLine
from workbench.views.style import looks

# (margin in nats, strength) to the push, loss units per nat
Push = Callable[[float, float], float]
STRENGTHS = (0.1, 2.0)  # ends of the slider
MARGINS = tuple(i / 20 for i in range(-40, 161))  # nats
STEPS, RATE = 2000, 0.1


def margin_walk(push: Push, strength: float, n: int = STEPS) -> list[float]:
    """The margin of a pair that always wins after 0, 1, … n steps of 0.1 · push.

    Args:
        push: of a link.
        strength: its second argument.
        n: how many steps.
    """
    margins = [0.0]
    for _ in range(n):
        margins.append(margins[-1] + RATE * push(margins[-1], strength))
    return margins


def link_figure(pushes: Mapping[str, Push], strength: float) -> Fig:
    """Two panels: the push against the margin, and the margin along steps.

    Args:
        pushes: name of a link to its push.
        strength: β, or what stands for it in a link.
    """
    left, right, rows = [HLine(0.0), VLine(0.0)], [], {}
    seen = np.unique(np.geomspace(1, STEPS, 41).astype(int))
    for name, style in looks(pushes).items():
        heights = [pushes[name](margin, strength) for margin in MARGINS]
        left.append(Line(MARGINS, heights, name, style))
        margins = np.array(margin_walk(pushes[name], strength))
        right.append(Line(seen.tolist(), margins[seen].tolist(), name, style))
        rows[name] = margins[-1]
    walk = "Margin of a pair that always wins"
    unit, top = "margin D (nats)", 1.05 * max(pushes[name](0.0, 1.0) for name in pushes)
    charts = [
        Chart("Push", unit, "push (loss per nat)", left, y_range=(-top, top)),
        Chart(walk, "step", unit, right, x_log=True),
    ]
    told = ", ".join(f"{name} at {margin:.2f}" for name, margin in rows.items())
    caption = (
        f"After {STEPS} steps with strength {strength:g} the margin is {told} nats."
    )
    table = pd.DataFrame({"link": list(rows), "margin": list(rows.values())})
    return Fig(Panels(charts), caption, table)


def link_explorer(
    pushes: Mapping[str, Push], *, strength: float = 1.0, live: bool | None = None
) -> Instrument:
    """How hard links push and where a pair that always wins goes, as strength slides.

    Args:
        pushes: name of a link to its push, a function of the margin in nats and of a
            strength.
        strength: where the slider starts.
        live: True, False, or None to ask the surroundings.
    """

    def draw(strength: float) -> Fig:
        return link_figure(pushes, strength)

    low, high = STRENGTHS
    controls = {"strength": powers("strength", strength, low=low, high=high)}
    return Instrument("Link explorer", draw, controls, live, computed_by=margin_walk)
