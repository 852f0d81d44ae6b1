"""The picture of the start explorer: both signs, where the mass lies, and reviews."""

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.sft_path import GROUPS
from workbench.views.layers import Bars, HLine, Line, VLine
from workbench.views.style import Style, role, series

TOP = 6
Table = Float[Tensor, "prompt response"]


def _signs(path: pd.DataFrame, a: float | int) -> Chart:
    """Both log-ratios at the end of SFT, against the start."""
    layers: list = [HLine(0.0), VLine(a, "this start", role("before"))]
    for side in ("chosen", "rejected"):
        look = Style(role(side).colour, "dash")
        line = Line(path["a"].tolist(), path[side].tolist(), f"{side}, exact", look)
        layers.append(line)
    return Chart("End of SFT", "a (start ∝ μ^a)", "E[log π/π₀] (nats)", layers)


def _masses(masses: pd.DataFrame, step: int) -> Chart:
    """Where the mass of the policy lies, along the steps."""
    layers: list = [VLine(step, "this step")]
    later = masses[masses["step"] > 0]
    labels = ("mostly chosen", "mostly rejected", "in hardly any pair")
    looks = (role("chosen"), role("rejected"), series(0))
    for name, label, look in zip(GROUPS, labels, looks, strict=True):
        x, y = later["step"].tolist(), later[name].tolist()
        layers.append(Line(x, y, label, look))
    ends = {"x_log": True, "x_ticks": (1, 10, 100, 1000), "y_range": (0.0, 0.7)}
    return Chart("Where the mass lies", "step", "mass (probability)", layers, **ends)


def listed_reviews(
    world, prompt: str, tables: tuple[Table, Table, Table]
) -> pd.DataFrame:
    """The reviews chosen most often, and their probability in three tables.

    Args:
        world: an enumerable world.
        prompt: one of its prompts.
        tables: log-probs at the start, now and at the end.

    Returns:
        DataFrame[review, start, now, end].
    """
    number = world.prompts.index(prompt)
    top = tables[-1][number].topk(TOP).indices
    names = ("start", "now", "end")
    columns = {
        n: t[number, top].exp().tolist() for n, t in zip(names, tables, strict=True)
    }
    return pd.DataFrame({"review": [world.text(int(i)) for i in top]} | columns)


def start_figure(
    reviews: pd.DataFrame,
    path: pd.DataFrame,
    masses: pd.DataFrame,
    a: float | int,
    step: int,
    prompt: str,
) -> Fig:
    """Three panels: signs against the start, mass along steps, most chosen reviews.

    Args:
        reviews: DataFrame[review, start, now, end] of one prompt.
        path: ``start_path``; means over all prompts, as are the masses.
        masses: ``mass_path`` from this start.
        a: the start is π₀ ∝ μ^a.
        step: where "now" is.
        prompt: whose reviews are listed.
    """
    names, looks = reviews["review"].tolist(), ("before", "after", "exact")
    bars = [
        Bars(names, reviews[column].tolist(), column, role(look))
        for column, look in zip(("start", "now", "end"), looks, strict=True)
    ]
    listed = Chart(f"Most chosen, {prompt}", "probability", "", bars, horizontal=True)
    here = path.loc[(path["a"] - a).abs().idxmin()]
    now, first = masses[masses["step"] == step].iloc[0], masses.iloc[0]
    verb = "rise" if here["rejected"] > 0 else "fall"
    told = (
        f"From the start μ^{a:g} the chosen reviews rise by {here['chosen']:.2f} nats "
        f"in the end and the rejected ones {verb} by {abs(here['rejected']):.2f}. At "
        f"step {step:,} the drift is {now['kl']:.2f} nats: the mass that is mostly "
        f"chosen went from {first['chosen']:.2f} to {now['chosen']:.2f}, and that in "
        f"hardly any pair from {first['unseen']:.2f} to {now['unseen']:.2f}."
    )
    panels = Panels([_signs(path, a), _masses(masses, step), listed], height=3.4)
    return Fig(panels, told, reviews)
