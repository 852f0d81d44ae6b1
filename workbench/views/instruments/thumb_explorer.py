"""The thumb explorer: what KTO makes of one thumb, against the response's log-ratio.

A thumb up is worth λ_D σ(β(d − z₀)) and a thumb down λ_U σ(β(z₀ − d)): the loss is what
is missing to λ. The push is the slope of that value.
"""

import pandas as pd
import torch

from workbench.measure import single_responses
from workbench.methods.direct.unpaired import kto
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import HLine, Line, VLine
from workbench.views.style import GREY, Style, looks

WEIGHTS = tuple(round(0.5 + 0.05 * i, 2) for i in range(31))  # 0.5 to 2
POINTS = tuple(round(0.1 * i, 1) for i in range(41))  # 0 to 4 nats
LOGRATIOS = torch.linspace(-4, 8, 61).double()  # nats
FEW = (0.5, 1.0, 2.0)


def thumb_curves(
    beta: float | int, desirable: float, undesirable: float, point: float
) -> pd.DataFrame:
    """KTO's value and push of a thumb up and of a thumb down.

    Args:
        beta: reward units per nat.
        desirable: λ_D, weight of a thumb up.
        undesirable: λ_U, weight of a thumb down.
        point: z₀, the log-ratio that each is compared with, nats.

    Returns:
        DataFrame[logratio, thumb, value, push], nats, loss units and loss units per
        nat; a push above 0 raises the log-ratio.
    """
    cfg = kto.Config(beta, desirable, undesirable)
    parts = []
    for name, share, most in (("up", 1.0, desirable), ("down", 0.0, undesirable)):
        at = (kto, cfg, LOGRATIOS, share)
        columns = {
            "logratio": LOGRATIOS,
            "value": most - single_responses.risk(*at, point=point),
            "push": single_responses.push(*at, point=point),
        }
        parts.append(pd.DataFrame(columns).assign(thumb=f"thumb {name}"))
    return pd.concat(parts, ignore_index=True)


def thumb_figure(
    beta: float | int, desirable: float, undesirable: float, point: float
) -> Fig:
    """Two panels: value and push against the log-ratio, z₀ as a vertical line.

    Args: those of ``thumb_curves``.
    """
    frame = thumb_curves(beta, desirable, undesirable, point)
    mark = VLine(point, "z₀", Style(GREY, "dot"))
    layers = {"value": [mark], "push": [HLine(0.0), mark]}
    for (name, part), style in zip(
        frame.groupby("thumb", sort=False), looks("ab").values(), strict=True
    ):
        for column, drawn in layers.items():
            columns = part["logratio"].tolist(), part[column].tolist()
            drawn.append(Line(*columns, name, style))
    top, unit = WEIGHTS[-1], "log-ratio d (nats)"
    steep = 1.05 * beta * top / 4  # the slope of a sigmoid is at most a quarter
    ranges = {"value": (0.0, 1.05 * top), "push": (-steep, steep)}
    charts = [
        Chart(
            f"{column.title()} of one thumb",
            unit,
            f"{column} ({of})",
            layers[column],
            y_range=ranges[column],
        )
        for column, of in (("value", "loss units"), ("push", "loss per nat"))
    ]
    cfg, here = kto.Config(beta, desirable, undesirable), torch.tensor([point]).double()
    up, down = (
        single_responses.push(kto, cfg, here, share, point=point).item()
        for share in (1.0, 0.0)
    )
    told = (
        f"Both thumbs push hardest at d = z₀ = {point:g}: up by "
        f"{up:.2f}, down by {-down:.2f}. A review rises, wherever it stands, if more "
        f"than {-down / (up - down):.0%} of its readers like it."
    )
    return Fig(Panels(charts), told, frame)


def thumb_explorer(
    beta: float | int = 1.0,
    *,
    desirable: float = 1.0,
    undesirable: float = 1.0,
    point: float = 0.0,
    live: bool | None = None,
) -> Instrument:
    """Value and push of KTO, as its weights and its reference point slide.

    Args:
        beta: reward units per nat.
        desirable, undesirable: where the sliders of the weights start, two of
            ``WEIGHTS``.
        point: where the slider of z₀ starts, one of ``POINTS``.
        live: True, False, or None to ask the surroundings.
    """

    def draw(desirable: float, undesirable: float, point: float) -> Fig:
        return thumb_figure(beta, desirable, undesirable, point)

    controls = {
        "desirable": Slider("λ_D (thumbs up)", WEIGHTS, desirable, FEW),
        "undesirable": Slider("λ_U (thumbs down)", WEIGHTS, undesirable, FEW),
        "point": Slider("z₀ (nats)", POINTS, point, POINTS[::10]),
    }
    name = "Thumb explorer"
    return Instrument(name, draw, controls, live, computed_by=thumb_curves)
