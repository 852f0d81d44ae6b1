"""The link explorer: the push of links, and where the margin of one pair goes.

With a share ε of labels that say the opposite, the mean push on a pair is
(1 − ε) w(D) − ε w(−D): a link that never stops on clean labels may then rest.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider, powers
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import HLine, Line, VLine
from workbench.views.style import looks

# (margin in nats, strength) to the push, loss units per nat
Push = Callable[[float, float], float]
STRENGTHS = (0.1, 2.0)  # ends of the slider
MARGINS = tuple(i / 20 for i in range(-40, 161))  # nats
STEPS, RATE = 2000, 0.1
FLIPS = tuple(i / 100 for i in range(0, 46, 3))
FEW = (0.0, 0.09, 0.21, 0.36)  # in a book


def mean_push(push: Push, strength: float, flips: float) -> Callable[[float], float]:
    """The push on a pair some of whose labels say the opposite, by its margin.

    Args:
        push: of a link.
        strength: its second argument.
        flips: ε, the share of labels that say the opposite.
    """

    def mean(margin: float) -> float:
        against = flips * push(-margin, strength) if flips else 0.0
        return (1 - flips) * push(margin, strength) - against

    return mean


def margin_walk(
    push: Push, strength: float, n: int = STEPS, flips: float = 0.0
) -> list[float]:
    """The margin of a pair after 0, 1, … n steps of 0.1 · its mean push, in nats.

    Args:
        push: of a link.
        strength: its second argument.
        n: how many steps.
        flips: share of labels that say the opposite.
    """
    mean, margins = mean_push(push, strength, flips), [0.0]
    for _ in range(n):
        margins.append(margins[-1] + RATE * mean(margins[-1]))
    return margins


def link_figure(pushes: Mapping[str, Push], strength: float, flips: float = 0.0) -> Fig:
    """Two panels: the push against the margin, and the margin along steps.

    Args:
        pushes: name of a link to its push.
        strength: β, or what stands for it in a link.
        flips: share of labels that say the opposite.
    """
    left, right, rows = [HLine(0.0), VLine(0.0)], [], {}
    seen = np.unique(np.geomspace(1, STEPS, 41).astype(int))
    for name, style in looks(pushes).items():
        mean = mean_push(pushes[name], strength, flips)
        left.append(Line(MARGINS, [mean(margin) for margin in MARGINS], name, style))
        margins = np.array(margin_walk(pushes[name], strength, flips=flips))
        right.append(Line(seen.tolist(), margins[seen].tolist(), name, style))
        rows[name] = margins[-1]
    wins = f"wins {1 - flips:.0%} of its labels" if flips else "always wins"
    unit, top = "margin D (nats)", 1.05 * max(pushes[name](0.0, 1.0) for name in pushes)
    charts = [
        Chart("Push", unit, "push (loss per nat)", left, y_range=(-top, top)),
        Chart(f"Margin of a pair that {wins}", "step", unit, right, x_log=True),
    ]
    told = ", ".join(f"{name} at {margin:.2f}" for name, margin in rows.items())
    caption = (
        f"After {STEPS} steps with strength {strength:g} the margin of a pair that "
        f"{wins} is {told} nats."
    )
    table = pd.DataFrame({"link": list(rows), "margin": list(rows.values())})
    return Fig(Panels(charts), caption, table)


def link_explorer(
    pushes: Mapping[str, Push], *, strength: float = 1.0, live: bool | None = None
) -> Instrument:
    """How hard links push and where the margin of a pair goes.

    Args:
        pushes: name of a link to its push, a function of the margin in nats and of a
            strength.
        strength: where its slider starts; that of the flipped labels starts at 0.
        live: True, False, or None to ask the surroundings.
    """

    def draw(strength: float, flips: float) -> Fig:
        return link_figure(pushes, strength, flips)

    low, high = STRENGTHS
    controls = {
        "strength": powers("strength", strength, low=low, high=high),
        "flips": Slider("ε, flipped labels", FLIPS, 0.0, FEW),
    }
    return Instrument("Link explorer", draw, controls, live, computed_by=margin_walk)
