"""DataFrame in, figure out: one `Fig` shown everywhere, one colour a role."""

from workbench.views.bars import bar_panels, bars
from workbench.views.chart import Chart, Panels
from workbench.views.clouds import clouds
from workbench.views.curves import distribution, training_curves
from workbench.views.displacement_curves import displacement
from workbench.views.fig import Fig
from workbench.views.gold_curves import gold_curves
from workbench.views.kl_curves import kl_drift
from workbench.views.layers import (
    Band,
    Bars,
    Heat,
    HLine,
    Line,
    Points,
    Text,
    VLine,
)
from workbench.views.loss_curves import links
from workbench.views.overoptimisation_curves import frontier, overoptimisation
from workbench.views.pipeline import pipeline
from workbench.views.push_curves import thumb_pushes
from workbench.views.reliability_diagram import reliability
from workbench.views.rewards import implicit_rewards, token_rewards
from workbench.views.sampled_curves import sampled_curves
from workbench.views.scatter import points
from workbench.views.simplex import simplex
from workbench.views.style import Style, method, role, series
from workbench.views.sweep import sweep
from workbench.views.unseen_mass import unseen_mass

__all__ = [
    "Band",
    "Bars",
    "Chart",
    "Fig",
    "HLine",
    "Heat",
    "Line",
    "Panels",
    "Points",
    "Style",
    "Text",
    "VLine",
    "bar_panels",
    "bars",
    "clouds",
    "displacement",
    "distribution",
    "frontier",
    "gold_curves",
    "implicit_rewards",
    "kl_drift",
    "links",
    "method",
    "overoptimisation",
    "pipeline",
    "points",
    "reliability",
    "role",
    "sampled_curves",
    "series",
    "simplex",
    "sweep",
    "thumb_pushes",
    "token_rewards",
    "training_curves",
    "unseen_mass",
]
