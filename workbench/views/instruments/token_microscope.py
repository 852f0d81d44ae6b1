"""The token microscope: which words of a pair carry its implicit reward."""

import pandas as pd

from workbench.views.fig import Fig
from workbench.views.instruments.row_table import RowTable
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.token_state import END, SIDES, token_figure

HEADS = ("pair", "prompt", *SIDES, "margin")


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

    label = "Press a pair (margin: after training, reward units)"
    controls = {"pair": RowTable(label, HEADS, pair_rows(frame), first)}
    return Instrument(
        "token microscope", draw, controls, live, computed_by=token_figure
    )


def pair_rows(frame: pd.DataFrame) -> dict[int, tuple[str, ...]]:
    """Each pair in words: number, prompt, both reviews and the margin after training.

    Args:
        frame: what `instruments.token_state.token_frame` returns.

    Returns:
        number of the pair to one cell for each of `HEADS`; margins in reward units.
    """
    found = {}
    for pair in sorted(frame["pair"].unique().tolist()):
        rows = frame[frame["pair"] == pair]
        sides = {side: rows[rows["side"] == side] for side in SIDES}
        words = (
            " ".join(word for word in part["token"] if word != END) or "(silence)"
            for part in sides.values()
        )
        chosen, rejected = (part["after"].sum() for part in sides.values())
        margin = f"{chosen - rejected:+.2f}"
        found[pair] = (str(pair), rows["prompt"].iloc[0], *words, margin)
    return found
