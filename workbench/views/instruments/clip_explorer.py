"""What the clip of PPO leaves of a token's gain, as the ratio moves away from 1."""

import pandas as pd
import torch

from workbench.core.surrogate import clipped_gain
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.page_rule import Exact
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Line, VLine
from workbench.views.style import role, series

CLIPS = tuple(round(0.01 * i, 2) for i in range(1, 51))
RATIOS = torch.linspace(0.4, 1.6, 121, dtype=torch.float64).round(decimals=2)


def clip_figure(clip: float) -> Fig:
    """Gain against ratio for a praised and for a punished token.

    Args:
        clip: ε.
    """
    ratio = RATIOS
    charts, frame = [], pd.DataFrame({"ratio": ratio.tolist()})
    for advantage, head in ((1.0, "A praised token"), (-1.0, "A punished token")):
        value = torch.full_like(ratio, advantage)
        free, held = (ratio * value).tolist(), clipped_gain(ratio, value, clip).tolist()
        name = f"gain, A = {advantage:+g}"
        frame[name] = held
        layers = [
            VLine(1 - clip, style=role("guide")),
            VLine(1 + clip, "1 ± ε", role("guide")),
            Line(frame["ratio"].tolist(), free, "ρA", series(1)),
            Line(frame["ratio"].tolist(), held, "PPO's gain", role("policy")),
        ]
        charts.append(Chart(f"{head} (A = {advantage:+g})", "ratio ρ", "gain", layers))
    caption = (
        f"With ε = {clip:g} the gain of a praised token is flat above "
        f"{1 + clip:g}, that of a punished one below {1 - clip:g}; on the other "
        "side nothing is clipped."
    )
    return Fig(Panels(charts), caption, frame)


def clip_explorer(clip: float = 0.2, *, live: bool | None = None) -> Instrument:
    """The gain of PPO as ε slides.

    Args:
        clip: where the slider starts, one of ``CLIPS``.
        live: True, False, or None to ask the surroundings.
    """

    controls = {"clip": Slider("clip ε", CLIPS, clip)}
    exact = Exact("clip", {"ratio": RATIOS.tolist()})
    return Instrument("The clip", clip_figure, controls, live, exact=exact)
