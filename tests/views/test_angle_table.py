"""The table of angles names each loss once and prints whole degrees."""

import pandas as pd
import pytest

from workbench.views.angle_table import angle_table
from workbench.views.layers import Heat


def test_rows_are_named_and_numbered():
    names = ["a", "b"]
    frame = pd.DataFrame([[0.0, 26.4], [26.4, 0.0]], names, names)
    figure = angle_table(frame, caption="a and b are 26 degrees apart.")
    (chart,) = figure.panels.charts
    (heat,) = chart.layers
    assert isinstance(heat, Heat)
    assert list(heat.rows) == ["a  1", "b  2"]
    assert heat.text[0][1] == "26°"
    assert list(chart.x_names) == ["1", "2"]


def test_rows_and_columns_are_the_same_losses():
    frame = pd.DataFrame([[0.0]], ["a"], ["b"])
    with pytest.raises(ValueError, match="same losses"):
        angle_table(frame, caption="nothing")
