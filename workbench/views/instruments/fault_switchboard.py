"""The fault switchboard: break a DPO loss, or what is around it, and read probes."""

from functools import cache

import pandas as pd

from workbench.methods.direct.links import dpo
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Choice
from workbench.views.instruments.fault_state import ELSEWHERE, HEALTHY, fault_readings
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, Points, VLine
from workbench.views.style import role, series
from workbench.worlds.probes import broken_part

LOSSES = {HEALTHY: dpo.loss, **dpo.mistakes}
USUAL = (-1.5, 2.5)  # reward units: only labels without noise read more


def switchboard_caption(readings: pd.DataFrame) -> str:
    """One sentence about the first probe that fails, or that none does.

    Args:
        readings: of ``fault_readings``.
    """
    failed = readings[~readings["passed"]]
    if failed.empty:
        return "No probe reads wrong: all five readings are within what passes."
    first, more = failed.iloc[0], len(failed) - 1
    others = {0: "no other", 1: "one other"}.get(more, f"{more} others")
    read, right = first["reading"], first["right"]
    return (
        f"The first probe that reads wrong is “{first['probe']}”: {read:.2f} where "
        f"{right:.2f} is right. It accuses {broken_part(readings)}; "
        f"after it {others} fail{'s' if more < 2 else ''}."
    )


def switchboard_figure(readings: pd.DataFrame, title: str) -> Fig:
    """The readings of all probes beside the right ones.

    Args:
        readings: of ``fault_readings``.
        title: the faults.
    """
    marks = ["✓" if passed else "✗" for passed in readings["passed"]]
    names = [f"{m} {name}" for m, name in zip(marks, readings["probe"], strict=True)]
    values = readings["reading"].tolist()
    wrong = [i for i, passed in enumerate(readings["passed"]) if not passed]
    layers = [
        Bars(names, readings["right"].tolist(), "right", role("exact")),
        Bars(names, values, "reading after training", role("policy")),
        # the second of two bars stands a fifth of a place below the middle
        Points([values[i] for i in wrong], [i + 0.2 for i in wrong],
               "reads wrong", series(5), size=9),
        VLine(0.0),
    ]  # fmt: skip
    low, high = USUAL
    ends = min(low, 1.1 * min(values)), max(high, 1.1 * max(values))
    unit = "reading βD (reward units)"
    chart = Chart(title, unit, "", layers, x_range=ends, horizontal=True)
    told = readings[["probe", "part", "reading", "right", "passed"]].round(3)
    return Fig(Panels([chart]), switchboard_caption(readings), told)


def fault_switchboard(
    *, fault: str = HEALTHY, elsewhere: str = HEALTHY, live: bool | None = None
) -> Instrument:
    """Two rows of buttons, a fault in the loss and one elsewhere, and five readings.

    Args:
        fault: what is broken in the loss at first: "nothing", or one of the known
            mistakes of ``methods.direct.links.dpo``.
        elsewhere: what is broken outside it at first, one of
            ``fault_state.ELSEWHERE``.
        live: True, False, or None to ask the surroundings.
    """

    @cache
    def readings(fault: str, elsewhere: str) -> pd.DataFrame:
        return fault_readings(LOSSES[fault], elsewhere)

    def draw(fault: str, elsewhere: str) -> Fig:
        broken = [name for name in (fault, elsewhere) if name != HEALTHY]
        title = f"Broken: {' and '.join(broken) or HEALTHY}"
        return switchboard_figure(readings(fault, elsewhere), title)

    controls = {
        "fault": Choice("broken in the loss", tuple(LOSSES), fault),
        "elsewhere": Choice("broken elsewhere", ELSEWHERE, elsewhere),
    }
    return Instrument(
        "Fault switchboard", draw, controls, live, computed_by=fault_readings
    )
