"""Move one reward of a group, and watch the advantages of RLOO and GRPO."""

from collections.abc import Sequence

import pandas as pd
import torch

from workbench.core.advantages import group_relative, leave_one_out
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, HLine
from workbench.views.style import series

LAST = (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 50.0)


def advantages_figure(rewards: Sequence[float]) -> Fig:
    """Bars of the advantages of one group, by both methods.

    Args:
        rewards: of the responses to one prompt, reward units.
    """
    values, k = torch.tensor(rewards, dtype=torch.float64), len(rewards)
    ways = {"RLOO": leave_one_out(values, k), "GRPO": group_relative(values, k)}
    names = [f"reward {reward:g}" for reward in rewards]
    # lesson 30 draws REINFORCE as the first series, and these two after it
    layers = [
        Bars(names, A.tolist(), name, series(i + 1))
        for i, (name, A) in enumerate(ways.items())
    ]
    frame = pd.concat(
        pd.DataFrame({"response": names, "A": A, "method": name})
        for name, A in ways.items()
    )
    top = {name: A.max().item() for name, A in ways.items()}
    caption = (
        f"With a last reward of {rewards[-1]:g} the largest advantage is "
        f"{top['RLOO']:.2f} for RLOO and {top['GRPO']:.2f} for GRPO."
    )
    axes = ("response", "advantage")
    chart = Chart("Advantages of one group", *axes, [*layers, HLine(0.0)])
    return Fig(Panels([chart]), caption, frame)


def group_advantages(
    rewards: Sequence[float] = (1.0, 0.0, -1.0),
    *,
    last: float = 10.0,
    live: bool | None = None,
) -> Instrument:
    """Advantages of a group whose last reward slides.

    Args:
        rewards: those that stay, reward units.
        last: where the slider starts, one of ``LAST``.
        live: True, False, or None to ask the surroundings.
    """

    def draw(last: float) -> Fig:
        return advantages_figure([*rewards, last])

    controls = {"last": Slider("last reward", LAST, last)}
    return Instrument("One group", draw, controls, live, computed_by=advantages_figure)
