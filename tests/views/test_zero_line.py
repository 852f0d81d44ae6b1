"""Training curves whose sign matters show the level 0."""

import pandas as pd

from workbench import views
from workbench.views.layers import HLine


def test_the_level_zero_is_drawn_if_asked_for():
    frame = pd.DataFrame({"step": [0, 1], "chosen": [0.0, -1.0]})
    for zero in (False, True):
        figure = views.training_curves(
            frame, {"chosen": "log-ratio (nats)"}, zero=zero, caption="It falls."
        )
        layers = figure.panels.charts[0].layers
        assert any(isinstance(la, HLine) and la.y == 0 for la in layers) == zero
