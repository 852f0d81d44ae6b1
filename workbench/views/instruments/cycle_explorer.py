"""The cycle explorer: three choices of a crowd, as a ranking and as a circle.

Any log-odds of three pairs are a ranking, which scores can say, plus one number that
goes round the circle, which they cannot.
"""

from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure import preference_fit
from workbench.models.preference_vectors import lead
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.layers import Bars, HLine, Line, VLine
from workbench.views.style import role, series
from workbench.worlds import preference_games

GAPS = tuple(round(0.25 * i, 2) for i in range(9))
CIRCLES = tuple(round(0.25 * i, 2) for i in range(13))
PAIRS = {"a ≻ b": (0, 1), "b ≻ c": (1, 2), "c ≻ a": (2, 0)}
Table = Float[Tensor, "3 3"]


@dataclass(frozen=True)
class Cycle:
    """A crowd's three choices and what two models say of them.

    Attributes:
        crowd: p(i ≻ j).
        scores: what the best Bradley–Terry scores state.
        turns: what vectors with one turn state.
        excess: loss of the scores beyond the entropy of the labels, nats per label.
    """

    crowd: Table
    scores: Table
    turns: Table
    excess: float


def cycle_state(gap: float, circle: float) -> Cycle:
    """The crowd of a ranking and a circle, and the best model of each kind.

    Args:
        gap: by how much a is ahead of b, and b of c, in log-odds.
        circle: what each of a ≻ b, b ≻ c, c ≻ a has on top, in log-odds.
    """
    scores = torch.tensor([gap, 0.0, -gap], dtype=torch.float64)
    round_ = torch.tensor([[0, 1, -1], [-1, 0, 1], [1, -1, 0]], dtype=torch.float64)
    odds = scores[:, None] - scores + circle * round_
    crowd, evenly = odds.sigmoid(), torch.zeros(3, dtype=torch.float64).log_softmax(-1)
    best = preference_games.bradley_terry(crowd, evenly)
    stated = best[:, None] - best
    # three responses need one turn, whatever they are: see `vectors`
    arrows = vectors(odds)
    turned = lead(arrows[:, None], arrows[None])[..., 0]
    lost = preference_fit.excess(stated, crowd)
    return Cycle(crowd, stated.sigmoid(), turned.sigmoid(), lost)


def vectors(odds: Table) -> Float[Tensor, "3 2"]:
    """Vectors of three responses whose turns are these log-odds.

    With a = (1, 0) the second numbers of b and c are o_ab and o_ac; what is left of
    o_bc is divided by the larger of the two.

    Args:
        odds: antisymmetric.
    """
    ab, ac, bc = odds[0, 1].item(), odds[0, 2].item(), odds[1, 2].item()
    if ab == ac == 0:  # a is every other's equal: only b and c turn
        rows = [(0.0, 0.0), (1.0, 0.0), (0.0, bc)]
    elif abs(ac) > abs(ab):
        rows = [(1.0, 0.0), (bc / ac, ab), (0.0, ac)]
    else:
        rows = [(1.0, 0.0), (0.0, ab), (-bc / ab, ac)]
    return torch.tensor(rows, dtype=torch.float64)


def cycle_figure(gap: float, circle: float) -> Fig:
    """The three chances of each, and what the circle costs Bradley–Terry.

    Args:
        gap, circle: see ``cycle_state``.
    """
    found = cycle_state(gap, circle)
    tables = {"the crowd": found.crowd, "scores": found.scores, "a turn": found.turns}
    frame = pd.DataFrame(
        {name: [t[at].item() for at in PAIRS.values()] for name, t in tables.items()},
        index=list(PAIRS),
    )
    styles = (role("gold"), series(0), series(2))
    drawn = [
        Bars(list(PAIRS), frame[name].tolist(), name, style)
        for name, style in zip(frame, styles, strict=True)
    ]
    half = HLine(0.5, "one half", role("guide"))
    chances = Chart(
        "Three choices", "choice", "probability", [half, *drawn], y_range=(0.0, 1.0)
    )
    costs = [cycle_state(gap, at).excess for at in CIRCLES]
    lost = Chart(
        "What no score explains", "circle (log-odds)", "excess loss of scores (nats)",
        [
            VLine(circle, "this crowd", role("guide")),
            Line(list(CIRCLES), costs, "scores", series(0)),
        ],
    )  # fmt: skip
    right = sum(
        (found.scores[at] - 0.5) * (found.crowd[at] - 0.5) > 1e-12
        for at in PAIRS.values()
    )
    runs = all(found.crowd[at] > 0.5 for at in PAIRS.values())
    caption = (
        f"The majority {'runs in a circle' if runs else 'has a ranking'}; the best "
        f"scores are on its side in {int(right)} of 3 choices and lose "
        f"{found.excess:.3f} nats per label, a turn in 3 of 3 and loses nothing."
    )
    return Fig(Panels([chances, lost]), caption, frame.reset_index(names="choice"))


def cycle_explorer(
    gap: float = 0.25, circle: float = 1.5, *, live: bool | None = None
) -> Instrument:
    """Three choices with a ranking and a circle that slide.

    Args:
        gap: where the slider of the ranking starts, one of ``GAPS``.
        circle: where that of the circle starts, one of ``CIRCLES``.
        live: True, False, or None to ask the surroundings.
    """
    controls = {
        "gap": Slider("ranking", GAPS, gap),
        "circle": Slider("circle", CIRCLES, circle, play=True),
    }
    return Instrument(
        "Cycle explorer", cycle_figure, controls, live, computed_by=cycle_state
    )
