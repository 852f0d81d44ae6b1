"""Angles between the pushes of losses as a coloured table: blocks of 0 are one loss."""

import pandas as pd

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Heat


def angle_table(frame: pd.DataFrame, *, caption: str, title: str = "") -> Fig:
    """A cell for every two losses, numbered on x and named on y.

    Args:
        frame: angles in degrees, the same names in rows and columns
            (``measure.list_pushes.angles``).
        caption: one sentence that could be false.
        title: heading.

    Raises:
        ValueError: rows and columns differ.
    """
    if list(frame.index) != list(frame.columns):
        raise ValueError("rows and columns of angles must be the same losses")
    places = [str(number) for number in range(1, len(frame) + 1)]
    rows = [f"{name}  {at}" for name, at in zip(frame.index, places, strict=True)]
    values = frame.to_numpy().tolist()
    written = [[f"{angle:.0f}°" for angle in row] for row in values]
    heat = Heat(values, rows, written, "angle (degrees)")
    head = title or "The angle between the pushes of two losses"
    chart = Chart(head, "the same losses by number", "", [heat], x_names=places)
    height = 1.2 + 0.38 * len(frame)
    return Fig(Panels([chart], height=height), caption, frame.round(1))
