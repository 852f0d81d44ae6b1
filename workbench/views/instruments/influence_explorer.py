"""The influence explorer: a pair trained through a hidden vector that reviews share."""

from collections.abc import Mapping

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Line
from workbench.views.style import looks

SHADES = tuple(round(-2 + 0.1 * i, 1) for i in range(25))  # −2.0 to 0.4
STEPS = 40
Rows = Mapping[str, tuple[float, float]]


def pair_walk(
    features: Float[Tensor, "response hidden"], n: int = STEPS
) -> Float[Tensor, "step response"]:
    """Probabilities along n gradient steps of size 1 of DPO (β = 1) on one pair.

    The policy is softmax(W h) and only h is trained, from 0. The first row of W is that
    of the chosen response, the second that of the rejected one. With the identity for
    W the policy is a table.

    Args:
        features: W, a row per response.
        n: how many steps.
    """
    push = features[0] - features[1]
    hidden, out = torch.zeros_like(push), []
    for _ in range(n + 1):
        logps = (features @ hidden).log_softmax(-1)
        out.append(logps.exp())
        hidden = hidden + (logps[1] - logps[0]).sigmoid() * push
    return torch.stack(out)


def influence_figure(rows: Rows, shade: float) -> Fig:
    """Two panels: probabilities along training, with a shared vector and with a table.

    Args:
        rows: name of a response to its row of W, the chosen and the rejected one first.
        shade: put in the place of the second number of the rejected response.
    """
    names = list(rows)
    features = torch.tensor([rows[name] for name in names], dtype=torch.float64)
    features[1, 1] = shade
    gain = (features[0] - features.mean(0)) @ (features[0] - features[1])
    walks = {"Shared vector": features, "Table": torch.eye(len(names)).double()}
    walks = {title: pair_walk(weights) for title, weights in walks.items()}
    styles = looks(["chosen", "rejected", *names[2:]])
    labels = [f"{names[0]} (chosen)", f"{names[1]} (rejected)", *names[2:]]
    charts = [
        Chart(
            title,
            "step",
            "π(y) (probability)",
            [
                Line(list(range(len(path))), path[:, k].tolist(), label, style)
                for k, (label, style) in enumerate(
                    zip(labels, styles.values(), strict=True)
                )
            ],
            y_range=(0, 1),
        )
        for title, path in walks.items()
    ]
    ends = {title: path[-1].tolist() for title, path in walks.items()}
    shared, table = (path[-1, 0].item() for path in walks.values())
    told = (
        f"The influence of the pair on {names[0]} is {gain.item():+.2f}, and after "
        f"{STEPS} steps its probability is {shared:.2f} with the shared vector and "
        f"{table:.2f} with the table."
    )
    return Fig(Panels(charts), told, pd.DataFrame({"response": names} | ends))


def influence_explorer(
    rows: Rows, *, shade: float | None = None, live: bool | None = None
) -> Instrument:
    """One pair through a shared vector, as the rejected response moves away.

    Args:
        rows: name of a response to its row of W, the chosen and the rejected one first.
        shade: where the slider starts; the second number of the rejected response if
            None.
        live: True, False, or None to ask the surroundings.
    """
    start = list(rows.values())[1][1] if shade is None else shade

    def draw(shade: float) -> Fig:
        return influence_figure(rows, shade)

    label = f"shade of {list(rows)[1]}"
    controls = {"shade": Slider(label, sorted({*SHADES, start}), start)}
    return Instrument("Influence explorer", draw, controls, live, computed_by=pair_walk)
