"""The best-of-n dial: how many draws, judged by a model of how many pairs.

The proxy is the small reward model; everything after it is exact.
"""

from functools import cache

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.methods.decoding import best_of_n
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.best_of_n_state import NS, best_of_n_path
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.small_reward import (
    fitted_scores,
    labelled_pairs,
    word_features,
)
from workbench.views.layers import Bars, HLine, Line, Points, VLine
from workbench.views.style import role

PAIRS = (32, 64, 128, 256, 512, 1024, 2048)
FLIPS = tuple(i / 20 for i in range(9))
FEW_NS, FEW_PAIRS, FEW_FLIPS = (1, 4, 16, 64, 256, 4096), (64, 2048), (0.0, 0.4)
EPOCHS, TOP = 10, 8
ROOT = "√KL(best-of-n‖π_ref) (√nats)"
Table = Float[Tensor, "prompt response"]


def dial_caption(path: pd.DataFrame, n: int) -> str:
    """One sentence about gold at this n, and what more draws would do.

    Args:
        path: ``best_of_n_path`` with a row for n.
        n: responses drawn.
    """
    here, top = path[path["n"] == n].iloc[0], path.loc[path["gold"].idxmax()]
    below = top["gold"] - here["gold"]
    where = "the highest" if below < 0.005 else f"{below:.2f} below the highest"
    slope, verb = here["slope"], "raise" if here["slope"] > 0 else "lower"
    says = f"more draws {verb} it" if abs(slope) >= 0.005 else "here it stands still"
    return (
        f"At n = {n:,}, {here['kl']:.2f} nats from the reference, gold is "
        f"{here['gold']:.2f}, {where} (n = {top['n']:,.0f}), and its slope is "
        f"{slope:+.2f}: {says}."
    )


def dial_figure(
    world, ref_logps: Table, proxy: Table, n: int, path: pd.DataFrame, title: str
) -> Fig:
    """Three panels: both rewards along all n, the slope of gold, favourite reviews.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        proxy: what picks the best of n, reward units.
        n: where the vertical line stands.
        path: ``best_of_n_path`` of the proxy, with a row for n; means over prompts.
        title: of the whole figure.
    """
    root = path["kl"].clip(lower=0) ** 0.5
    here = path[path["n"] == n].index[0]
    line, x = VLine(root[here], f"n = {n:,}"), root.tolist()
    shift = path["gold"][0] - path["proxy"][0]  # its constant is free: start together
    rewards: list = [line]
    for name, values in (("proxy", path["proxy"] + shift), ("gold", path["gold"])):
        rewards.append(Line(x, values.tolist(), name, role(name)))
        rewards.append(Points([root[here]], [values[here]], "", role(name), size=8))
    slope = Line(x, path["slope"].tolist(), "Cov(gold, push)", role("policy"))
    best = best_of_n.log_distribution(ref_logps[0], proxy[0], n)
    likeliest = best.topk(TOP).indices
    gold = world.gold[0, likeliest].tolist()
    reviews = [world.text(int(i)) for i in likeliest]
    table = pd.DataFrame({"review": reviews, "gold": gold})
    table["probability"] = best[likeliest].exp().tolist()
    names = [f"{name} ({r:+.2f})" for name, r in zip(reviews, gold, strict=True)]
    bars = [Bars(names, table["probability"].tolist(), "best of n", role("policy"))]
    unit = "slope per log n (reward units)"
    favourites = f"Favourite reviews, {world.prompts[0]} (gold)"
    charts = [
        Chart("Proxy and gold", ROOT, "expected reward (reward units)", rewards),
        Chart("Slope of gold: a covariance", ROOT, unit, [HLine(0.0), line, slope]),
        Chart(favourites, "probability", "", bars, horizontal=True),
    ]
    return Fig(Panels(charts, title, height=3.4), dial_caption(path, n), table)


def best_of_n_dial(
    world,
    ref_logps: Table,
    *,
    n: int = 16,
    pairs: int = 256,
    flip: float = 0.2,
    seed: int = 0,
    live: bool | None = None,
) -> Instrument:
    """Exact best-of-n of a small reward model, as n, its pairs and their flips slide.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        n: where the slider of the draws starts, one of ``NS``.
        pairs: where the slider of the pairs starts, at most ``small_reward.MOST``.
        flip: where the slider of the flipped share starts.
        seed: of the pairs and their labels.
        live: True, False, or None to ask the surroundings.
    """
    ref, features = ref_logps.double(), word_features(world)

    @cache
    def labels(flip: float):
        return labelled_pairs(world, ref, flip, seed)

    @cache
    def proxy_and_path(pairs: int, flip: float):
        proxy = fitted_scores(features, labels(flip)[:pairs], [EPOCHS])[0]
        return proxy, best_of_n_path(ref, proxy, world.gold)

    def draw(n: int, pairs: int, flip: float) -> Fig:
        proxy, path = proxy_and_path(pairs, flip)
        title = f"Best of {n:,}: a proxy of {pairs:,} pairs, {flip:.0%} flipped"
        return dial_figure(world, ref, proxy, n, path, title)

    controls = {
        "n": Slider("n (log scale)", NS, n, FEW_NS),
        "pairs": Slider("pairs", sorted({*PAIRS, pairs}), pairs, FEW_PAIRS),
        "flip": Slider("flipped labels", sorted({*FLIPS, flip}), flip, FEW_FLIPS),
    }
    return Instrument(
        "Best-of-n dial", draw, controls, live, computed_by=best_of_n_path
    )
