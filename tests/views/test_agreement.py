"""Points around the diagonal."""

import pandas as pd
import pytest

from workbench.views.agreement import agreement
from workbench.views.layers import Line, Points

WORDS = {"x_label": "exact (m)", "y_label": "said (m)", "title": "A", "caption": "b"}


def test_the_line_is_where_both_are_equal_and_each_speaker_has_a_look():
    one = pd.DataFrame({"true": [0.0, 2.0], "said": [0.5, 1.0]})
    figure = agreement({"ann": one, "bob": one + 1}, "true", "said", **WORDS)
    line, *points = figure.panels.charts[0].layers
    assert isinstance(line, Line) and line.style.dash == "dash"
    assert list(line.x) == list(line.y) == [0.0, 3.0]
    assert [p.label for p in points] == ["ann", "bob"]
    assert all(isinstance(p, Points) for p in points)
    assert points[0].style != points[1].style
    assert figure.data.of.tolist() == ["ann", "ann", "bob", "bob"]


def test_a_missing_column_is_named():
    with pytest.raises(KeyError, match="said"):
        agreement({"a": pd.DataFrame({"true": [1.0]})}, "true", "said", **WORDS)
