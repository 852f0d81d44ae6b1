"""Gold over KL: exact is black, learned is solid, best-of-n is named points."""

import pandas as pd
import pytest

from workbench.views import gold_curves
from workbench.views.layers import Line, Points, Text
from workbench.views.style import BLACK

PATH = pd.DataFrame({"kl": [1.0, 0.0, 3.0], "gold": [1.0, 0.0, 2.0]})
RUNS = pd.DataFrame(
    {
        "seed": [0, 1, 2] * 2,
        "strength": [1.0] * 3 + [2.0] * 3,
        "kl": [0.1, 0.2, 0.4, 0.5, 0.7, 0.6],
        "gold": [0.1, 0.3, 0.2, 0.5, 0.4, 0.9],
    }
)
BON = pd.DataFrame({"n": [1, 2, 128], "kl": [0.0, 0.2, 3.8], "gold": [0, 0.3, 2.0]})


@pytest.fixture
def layers():
    figure = gold_curves(
        PATH,
        exact={"mean, exact": PATH},
        learned={"mean, learned": RUNS},
        best_of_n=BON,
        caption="No curve passes the frontier.",
    )
    return figure.panels.charts[0].layers


def test_exact_curves_are_black_and_not_solid_and_learned_ones_solid(layers):
    lines = {la.label: la for la in layers if isinstance(la, Line) and la.label}
    assert lines["exact frontier"].style.dash == "dash"
    assert lines["mean, exact"].style.colour == BLACK
    assert lines["mean, exact"].style.dash == "dot"
    learned = lines["mean, learned, median of seeds"].style
    assert learned.dash == "solid" and learned.colour != BLACK


def test_the_bold_line_is_the_median_and_each_seed_is_thin(layers):
    bold = next(la for la in layers if getattr(la, "label", "").endswith("seeds"))
    assert bold.x == [0.2, 0.6] and bold.y == [0.2, 0.5]
    assert sum(isinstance(la, Line) and la.faint for la in layers) == 3


def test_curves_are_sorted_and_cut_and_points_carry_their_n(layers):
    assert layers[0].x == [0.0, 1.0, 2.5] and layers[0].y == [0.0, 1.0, 1.75]
    dots = next(la for la in layers if isinstance(la, Points))
    assert dots.x == [0.0, 0.2]
    assert [la.text for la in layers if isinstance(la, Text)] == ["n = 1", "n = 2"]
