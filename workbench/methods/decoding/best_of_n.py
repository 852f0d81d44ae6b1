"""Best-of-n: draw n responses, keep the one with the highest score.

Objective:
    y = argmax_i r(x, y_i) with y_1 … y_n from π_ref, ties broken evenly. Its
    distribution is P(y) = π_ref(y) · (F≤(r_y)^n − F<(r_y)^n) / (F≤(r_y) − F<(r_y)),
    with F≤ and F< the mass of π_ref at or below, and strictly below, a score.

Compared with BT:
    the scores are used, not learned; no weight changes.

Valid only if:
    the n responses are independent. Select with the proxy, report gold.

Fixed point:
    n → ∞ is π_ref restricted to the best score it can reach. At every n,
    KL(P‖π_ref) ≤ log n − (n − 1)/n, with equality for scores without atoms only. Any
    increasing transform of the scores leaves the distribution as it is.

Known mistakes:
    (1) the distribution of a score without atoms, n π_ref F≤^(n−1): its sum exceeds 1.
    (2) F<, the strict mass, in its place: sums to less than 1.
    (3) ties broken by the order of the responses.
    (4) the worst of n kept: scores are not losses.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.card import Card

card = Card(
    key="best_of_n",
    title="Best-of-n",
    parents=("bt",),
    needs=("reward", "reference"),
    paper="Stiennon et al. 2020 (2009.01325); Gao et al. 2023 (2210.10760)",
    check="Probabilities sum to 1 and agree with sampling; the KL obeys the bound.",
    claim="Gold rises and falls along d = √KL as d(α − β_bon d).",
    notebook="11",
)


@dataclass(frozen=True)
class Config:
    """Settings of best-of-n.

    Attributes:
        n: responses drawn for each one kept.
    """

    n: int = 16  # ours: √KL = 1.35, before the hump of a good proxy


def _levels(
    ref_logps: Float[Tensor, "*lead response"],
    scores: Float[Tensor, "*#lead response"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Each response's level among the distinct scores; each level's mass and F≤."""
    scores = scores.expand_as(ref_logps)
    order = scores.argsort(-1)
    ranked = scores.gather(-1, order)
    rises = torch.zeros_like(order)
    rises[..., 1:] = ranked[..., 1:] > ranked[..., :-1]
    level = torch.empty_like(order).scatter(-1, order, rises.cumsum(-1))
    probs = ref_logps.double().softmax(-1)
    mass = torch.zeros_like(probs).scatter_add(-1, level, probs)
    upto = mass.cumsum(-1)
    total = upto[..., -1:]  # F≤ is 1 at the top: the power n would show the rounding
    return level, mass / total, upto / total


def log_distribution(
    ref_logps: Float[Tensor, "*lead response"],
    scores: Float[Tensor, "*#lead response"],
    n: int,
) -> Float[Tensor, "*lead response"]:
    """Exact log-probability of every response under best-of-n, ties included.

    F≤^n − F<^n is taken as F≤^n (1 − (1 − m)^n) with m the level's share of F≤, so that
    a rare response keeps its digits for n up to 10,000 and beyond.

    Args:
        ref_logps: log π_ref of every response.
        scores: what is maximised, in any increasing unit.
        n: responses drawn.

    Returns:
        log-probs in float64.
    """
    level, mass, upto = _levels(ref_logps, scores)
    won = n * upto.log() + torch.log(-torch.expm1(n * torch.log1p(-mass / upto)))
    drawn = ref_logps.double().log_softmax(-1)
    log_probs = drawn + (won - mass.log()).gather(-1, level)
    return torch.where(drawn > -torch.inf, log_probs, -torch.inf)


def best(scores: Float[Tensor, " batch"], group: int) -> Int[Tensor, " prompt"]:
    """Row of the best response of every prompt, ``group`` responses side by side.

    The first of equals is kept. Samples come in no order, so ties are broken evenly.
    """
    best = scores.reshape(-1, group).argmax(-1)
    return best + group * torch.arange(len(best), device=scores.device)


def kl_bound(n: int) -> float:
    """log n − (n − 1)/n, in nats: KL of best-of-n from π_ref is at most this.

    Source: Beirami et al. 2024 (2401.01879).
    """
    return math.log(n) - (n - 1) / n


def _without_atoms(ref_logps: Tensor, scores: Tensor, n: int) -> Tensor:
    level, _, upto = _levels(ref_logps, scores)
    return ref_logps + math.log(n) + (n - 1) * upto.log().gather(-1, level)


def _strictly_below(ref_logps: Tensor, scores: Tensor, n: int) -> Tensor:
    level, mass, upto = _levels(ref_logps, scores)
    below = (upto - mass).clamp(min=0).log()
    return ref_logps + math.log(n) + (n - 1) * below.gather(-1, level)


mistakes: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "1 score without atoms": _without_atoms,
    "2 strict mass": _strictly_below,
    "3 ties by order": lambda ref_logps, scores, n: log_distribution(
        ref_logps, scores.argsort(stable=True).argsort().to(ref_logps), n
    ),
    "4 worst of n": lambda ref_logps, scores, n: log_distribution(
        ref_logps, -scores, n
    ),
}
