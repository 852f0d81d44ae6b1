"""The exact optimum at one β: the plain function behind the β explorer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.worlds import solutions

BETAS = 10 ** np.linspace(-1.5, 1.5, 61)  # 20 a decade, β = 1 among them
TOP = 10


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
