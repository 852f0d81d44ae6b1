"""The mask viewer: which tokens of a pair count, encoded rightly and wrongly."""

import pandas as pd

from workbench.views.fig import Fig
from workbench.views.instruments.controls import Choice
from workbench.views.instruments.mask_state import SIDES, mask_figure
from workbench.views.instruments.shell import Instrument


def mask_viewer(frame: pd.DataFrame, *, live: bool | None = None) -> Instrument:
    """A response token by token: choose the pair, the side and the encoding.

    Args:
        frame: what ``instruments.mask_state.mask_frame`` returns.
        live: True, False, or None to ask the surroundings.
    """
    ways = list(frame["way"].unique())
    pairs = sorted(frame["pair"].unique().tolist())

    def draw(way: str, pair: int, side: str) -> Fig:
        return mask_figure(frame, way, pair, side)

    controls = {
        "way": Choice("encoded", ways, ways[0]),
        "pair": Choice("pair", pairs, pairs[0]),
        "side": Choice("side", SIDES, SIDES[0]),
    }
    return Instrument("mask viewer", draw, controls, live, computed_by=mask_figure)
