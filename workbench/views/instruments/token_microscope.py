"""The token microscope: which words of a pair carry its implicit reward."""

import pandas as pd

from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.token_state import token_figure


def token_microscope(
    frame: pd.DataFrame, *, pair: int | None = None, live: bool | None = None
) -> Instrument:
    """Implicit reward by token of one pair, before and after training.

    Args:
        frame: what `instruments.token_state.token_frame` returns.
        pair: the pair shown first; the frame's first if None.
        live: True, False, or None to ask the surroundings.
    """
    numbers = sorted(frame["pair"].unique().tolist())
    first = numbers[0] if pair is None else pair

    def draw(pair: int) -> Fig:
        return token_figure(frame, pair)

    few = numbers[:: -(-len(numbers) // 30)]  # a book keeps thirty pairs
    controls = {"pair": Slider("pair", numbers, first, few)}
    return Instrument(
        "token microscope", draw, controls, live, computed_by=token_figure
    )
