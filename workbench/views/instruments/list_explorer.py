"""The list explorer: what the softmax of a list wants, and how it pushes responses.

The target is softmax(r/τ) over the responses of the list, what the policy gives them
softmax(d), with d the log-ratios. The push on a response is the difference of the two.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import softmax_targets
from workbench.feedback.kinds.lists import ListLogps
from workbench.measure.list_pushes import of_lists
from workbench.methods.direct.lists import infonca
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider, powers
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, VLine
from workbench.views.style import role, series

SMALLEST, LARGEST = 0.05, 5.0  # temperatures, reward units per nat
Listed = Float[Tensor, " response"]


def list_state(
    scores: Listed, logratios: Listed, temperature: float | int
) -> pd.DataFrame:
    """Target, share and push of each response of one list.

    Args:
        scores: reward units.
        logratios: log π/π_ref, nats.
        temperature: τ, reward units per nat.

    Returns:
        DataFrame[target, share, push], probabilities and loss per nat.
    """
    # only log-ratios count: as log-probs against a reference of 0
    columns = (logratios[None, :, None], torch.zeros(1, len(scores), 1).double())
    whole = torch.ones(1, len(scores), 1, dtype=torch.bool)
    batch = ListLogps(*columns, whole, scores[None], torch.zeros_like(scores)[None])
    pushes = of_lists(infonca, infonca.Config(1.0, float(temperature)), batch)[0]
    return pd.DataFrame(
        {
            "target": softmax_targets.targets(scores, temperature).tolist(),
            "share": logratios.softmax(-1).tolist(),
            "push": pushes.tolist(),
        }
    )


def list_figure(
    names: Sequence[str],
    scores: Listed,
    logratios: Listed,
    k: int,
    temperature: float | int,
) -> Fig:
    """Two panels: target and share, and the push, for the first k responses.

    Args:
        names: of the responses.
        scores, logratios, temperature: as for ``list_state``.
        k: how many responses the list has.
    """
    frame = list_state(scores[:k], logratios[:k], temperature)
    shown = [f"{name} ({r:+.1f})" for name, r in zip(names, scores[:k], strict=False)]
    share = [
        Bars(shown, frame["target"].tolist(), "target", role("exact")),
        Bars(shown, frame["share"].tolist(), "share now", role("policy")),
    ]
    push = [VLine(0.0), Bars(shown, frame["push"].tolist(), "", series(0))]
    lying = {"horizontal": True}
    charts = [
        Chart("Shares of the list", "share", "", share, x_range=(0.0, 1.0), **lying),
        Chart("Push", "push (loss per nat)", "", push, x_range=(-1.0, 1.0), **lying),
    ]
    best = int(scores[:k].argmax())
    hardest = int(frame["push"].abs().argmax())
    row, other = frame.iloc[best], frame["push"].iloc[hardest]
    told = (
        f"In a list of {k}, at temperature {temperature:.3g}, “{names[best]}” shall "
        f"have {row['target']:.0%} and has {row['share']:.0%}; the hardest push is "
        f"{other:+.2f}, on “{names[hardest]}”, and all pushes add up to 0."
    )
    table = frame.assign(response=list(names)[:k], score=scores[:k].tolist())
    return Fig(Panels(charts), told, table)


def list_explorer(
    names: Sequence[str],
    scores: Listed,
    logratios: Listed | None = None,
    *,
    k: int = 4,
    temperature: float | int = 0.5,
    live: bool | None = None,
) -> Instrument:
    """Target and push of each response, as the list and the temperature change.

    Args:
        names: of the responses; a list holds the first of them.
        scores: of the same responses, reward units.
        logratios: log π/π_ref of the same responses, nats; 0 if None, which is where
            training starts.
        k: where the slider of the length starts, from 2 to the number of names.
        temperature: where its slider starts, reward units per nat.
        live: True, False, or None to ask the surroundings.
    """
    still = torch.zeros(len(names)) if logratios is None else logratios
    given = scores.detach().double(), still.double()

    def draw(k: int, temperature: float | int) -> Fig:
        return list_figure(names, *given, k, temperature)

    ends = {"low": SMALLEST, "high": LARGEST}
    controls = {
        "k": Slider("responses K", range(2, len(names) + 1), k),
        "temperature": powers("temperature (log scale)", temperature, **ends),
    }
    name = "List explorer"
    return Instrument(name, draw, controls, live, computed_by=list_state)
