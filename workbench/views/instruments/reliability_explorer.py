"""The reliability explorer: what more pairs, more flips and more epochs do to a model.

A ranking is learned early; what goes on to grow is the scale of the scores, and with
it the confidence that they state.
"""

from functools import cache

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.measure import calibration, reward_model
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.small_reward import (
    fitted_scores,
    labelled_pairs,
    word_features,
)
from workbench.views.layers import HLine, Line, VLine
from workbench.views.style import role
from workbench.worlds import solutions

EPOCHS = (1, 2, 4, 8, 16, 32, 64)
PAIRS = (64, 128, 256, 512, 1024)
FLIPS = tuple(i / 20 for i in range(9))
FEW_EPOCHS, FEW_PAIRS, FEW_FLIPS = (1, 4, 16, 64), (64, 1024), (0.0, 0.2, 0.4)
Table = Float[Tensor, "prompt response"]


def reliability_state(held_out: reward_model.HeldOut, score: Table) -> dict[str, float]:
    """How good a table of scores is on held-out pairs whose true chances are known.

    Args:
        held_out: the pairs.
        score: reward units.

    Returns:
        accuracy and its ceiling, the accuracy of gold; spread, the standard deviation
        of the scores under the reference, reward units.
    """
    told = reward_model.against_truth(held_out.margins(score), held_out.chance)
    variance = solutions.covariance(held_out.ref, score, score).mean().item()
    found = {name: told[name] for name in ("accuracy", "ceiling")}
    return found | {"spread": variance**0.5}


def reliability_figure(
    path: pd.DataFrame, bins: pd.DataFrame, epochs: int, gold_spread: float, title: str
) -> Fig:
    """Three panels: stated against true chances; accuracy and spread along epochs.

    Args:
        path: DataFrame[epoch, accuracy, ceiling, spread], one model.
        bins: the reliability diagram after this many epochs.
        epochs: where the vertical line stands.
        gold_spread: standard deviation of the gold reward, reward units.
        title: of the whole figure.
    """
    ideal = Line([0.0, 1.0], [0.0, 1.0], "calibrated", role("exact"))
    stated, won = bins["predicted"].tolist(), bins["observed"].tolist()
    seen = Line(stated, won, "bins of pairs", role("proxy"), markers=True)
    unit, x = {"x_range": (0.0, 1.0), "y_range": (0.0, 1.0)}, path["epoch"].tolist()
    here, line = path[path["epoch"] == epochs].iloc[0], VLine(epochs, "now")
    tops = {"accuracy": here["ceiling"], "spread": gold_spread}
    curves = {
        name: [
            HLine(top, "gold reward", role("exact")),
            line,
            Line(x, path[name].tolist(), "model", role("proxy"), markers=True),
        ]
        for name, top in tops.items()
    }
    known = {"x_log": True, "x_ticks": EPOCHS}
    ranking, scale = (known | {"y_range": ends} for ends in ((0.5, 0.8), (0.0, 2.0)))
    heading, spread = "Stated and true chances", "spread (reward units)"
    charts = [
        Chart(heading, "stated chance", "true chance", [ideal, seen], **unit),
        Chart("Ranking", "epochs", "held-out accuracy", curves["accuracy"], **ranking),
        Chart("Scale", "epochs", spread, curves["spread"], **scale),
    ]
    last, passes = bins.iloc[-1], "1 epoch" if epochs == 1 else f"{epochs} epochs"
    told = (
        f"After {passes} the surest bin states {last['predicted']:.2f} and "
        f"{last['observed']:.2f} is true; the accuracy is {here['accuracy']:.2f} of "
        f"at most {here['ceiling']:.2f}, and the spread is {here['spread']:.2f} "
        f"(gold: {gold_spread:.2f})."
    )
    return Fig(Panels(charts, title, height=3.0), told, bins)


def reliability_explorer(
    world,
    ref_logps: Table,
    held_out: reward_model.HeldOut,
    *,
    pairs: int = 256,
    flip: float = 0.0,
    epochs: int = 8,
    seed: int = 0,
    live: bool | None = None,
) -> Instrument:
    """Calibration, accuracy and scale of a small reward model.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref, which writes both responses of a training pair.
        held_out: the pairs on which the model is judged.
        pairs, flip, epochs: where the sliders start; at most ``small_reward.MOST``
            pairs, and one of ``EPOCHS``.
        seed: of the pairs and their labels.
        live: True, False, or None to ask the surroundings.
    """
    features = word_features(world)
    gold_spread = reliability_state(held_out, world.gold)["spread"]

    @cache
    def labels(flip: float):
        return labelled_pairs(world, ref_logps, flip, seed)

    @cache
    def training(pairs: int, flip: float):
        tables = fitted_scores(features, labels(flip)[:pairs], EPOCHS)
        path = pd.DataFrame([reliability_state(held_out, table) for table in tables])
        path.insert(0, "epoch", EPOCHS)
        return tables, path

    def draw(pairs: int, flip: float, epochs: int) -> Fig:
        tables, path = training(pairs, flip)
        stated = held_out.margins(tables[EPOCHS.index(epochs)]).sigmoid()
        bins = calibration.reliability(stated, held_out.chance)
        title = f"A reward model of {pairs:,} pairs, {flip:.0%} flipped"
        return reliability_figure(path, bins, epochs, gold_spread, title)

    controls = {
        "pairs": Slider("pairs", sorted({*PAIRS, pairs}), pairs, FEW_PAIRS),
        "flip": Slider("flipped labels", sorted({*FLIPS, flip}), flip, FEW_FLIPS),
        "epochs": Slider("epochs", EPOCHS, epochs, FEW_EPOCHS, play=True),
    }
    return Instrument(
        "Reliability explorer", draw, controls, live, computed_by=reliability_state
    )
