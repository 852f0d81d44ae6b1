"""The exact optimum at one β: the plain function behind the β explorer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Bars, Line, Points, VLine
from workbench.views.style import role
from workbench.worlds import solutions

BETAS = 10 ** np.linspace(-1.5, 1.5, 61)  # 20 a decade, β = 1 among them
TOP = 10
ROOT = "√KL(π*‖π_ref) (√nats)"


@dataclass(frozen=True)
class BetaState:
    """Where π*_β stands for one prompt.

    Attributes:
        beta: reward units per nat.
        kl: KL(π*‖π_ref), nats per sequence.
        gold, proxy: expected rewards under π*, reward units.
        covariance: Cov(gold, proxy) under π*; gold peaks along β where it is 0.
        top: DataFrame[review, optimum, reference, gold, proxy], the likeliest first.
    """

    beta: float
    kl: float
    gold: float
    proxy: float
    covariance: float
    top: pd.DataFrame


def beta_state(
    world,
    ref_logps: Float[Tensor, "prompt response"],
    proxy: Float[Tensor, "prompt response"],
    beta: float | int,
    prompt: str,
    top: int = TOP,
) -> BetaState:
    """The optimum π*_β ∝ π_ref·exp(proxy/β) of one prompt, by enumeration.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        proxy: the reward that π* maximises, reward units.
        beta: price of drift, reward units per nat.
        prompt: one of the world's prompts.
        top: how many of the likeliest responses are listed.
    """
    row = world.prompts.index(prompt)
    ref, reward, gold = ref_logps[row].double(), proxy[row].double(), world.gold[row]
    best = solutions.optimal_policy(ref, reward, beta)
    likeliest = best.topk(min(top, len(best))).indices
    frame = pd.DataFrame(
        {
            "review": [world.text(int(i)) for i in likeliest],
            "optimum": best[likeliest].exp().tolist(),
            "reference": ref[likeliest].exp().tolist(),
            "gold": gold[likeliest].tolist(),
            "proxy": reward[likeliest].tolist(),
        }
    )
    return BetaState(
        beta=float(beta),
        kl=solutions.kl(best, ref).item(),
        gold=solutions.expectation(best, gold).item(),
        proxy=solutions.expectation(best, reward).item(),
        covariance=solutions.covariance(best, gold, reward).item(),
        top=frame,
    )


def beta_path(
    world,
    ref_logps: Float[Tensor, "prompt response"],
    proxy: Float[Tensor, "prompt response"],
    prompt: str,
) -> pd.DataFrame:
    """`worlds.exact.frontier` of one prompt over the explorer's whole range of β."""
    one = slice(row := world.prompts.index(prompt), row + 1)
    ref, reward = ref_logps[one].double(), proxy[one].double()
    return solutions.frontier(ref, reward, world.gold[one], BETAS)


def optimises_gold(path: pd.DataFrame) -> bool:
    """Whether what is optimised is gold itself: then there is no proxy to draw."""
    return bool((path["gold"] - path["proxy"]).abs().max() < 1e-9)


def beta_caption(state: BetaState, path: pd.DataFrame) -> str:
    """One sentence about a state, computed from it."""
    peak = path.loc[path["gold"].idxmax()]
    loss = max(0.0, peak["gold"] - state.gold)
    of, most = ("", "as β → 0") if optimises_gold(path) else (" of the proxy", "")
    most = most or f"β = {peak['beta']:.2g}"
    return (
        f"At β = {state.beta:.3g} the optimum{of} is {state.kl:.2f} nats from "
        f"the reference; its gold reward is {state.gold:.2f}, {loss:.2f} reward units "
        f"below the most that any β reaches ({most})."
    )


def beta_figure(state: BetaState, path: pd.DataFrame, prompt: str) -> Fig:
    """Gold and proxy along the path with π*_β marked, and its likeliest reviews."""
    root, here = path["kl"].clip(lower=0) ** 0.5, [state.kl**0.5 if state.kl > 0 else 0]
    known = ("gold",) if optimises_gold(path) else ("proxy", "gold")
    layers = [
        VLine(here[0], f"π* at β = {state.beta:.3g}", role("exact")),
        *(Line(root.tolist(), path[it].tolist(), it, role(it)) for it in known),
        *(Points(here, [getattr(state, it)], "", role(it), size=9) for it in known),
    ]
    remark = state.top["review"], state.top["gold"]
    names = [f"{r} ({g:+.1f})" for r, g in zip(*remark, strict=True)]
    bars = [
        Bars(names, state.top["optimum"].tolist(), "π* (exact)", role("exact")),
        Bars(names, state.top["reference"].tolist(), "π_ref", role("reference")),
    ]
    earned = ", ".join(f"{it} {getattr(state, it):.2f}" for it in reversed(known))
    title = f"Prompt “{prompt}”, β = {state.beta:.3g}: KL {state.kl:.2f} nats, {earned}"
    head = "Gold reward of all optima" if len(known) < 2 else "All optima of the proxy"
    left = Chart(head, ROOT, "expected reward (reward units)", layers)
    right = Chart("Likeliest reviews (gold)", "probability", "", bars, horizontal=True)
    panels = Panels([left, right], title, height=3.4)
    return Fig(panels, beta_caption(state, path), state.top)
