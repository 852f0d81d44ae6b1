"""Contrastive policy gradient: RLOO's gradient, right for any sampling distribution.

Objective:
    d_i = log π(y_i)/π_ref(y_i), sums over response tokens; R the score; lists of K ≥ 2.
    "contrastive": L = −1/(K − 1) Σ_{i>j} (R_i − R_j − β/2 (d_i − d_j)) (d_i − d_j),
    the paper's l with its sign turned, for l is to be maximised;
    "squared": L = 1/(2β(K − 1)) Σ_{i>j} (R_i − R_j − β(d_i − d_j))².
    Derived here: the second is the first plus Σ (R_i − R_j)²/(2β(K − 1)), a constant,
    so the gradients are equal. The gradient flows through all of L.

Compared with RLOO:
    the baseline of a response is what the others earn after their KL, and nothing is
    divided out for a foreign sampling distribution. On policy Σ_i of RLOO over a list
    has the same gradient, list by list. Compared with IPO, the target is a difference
    of scores and not ±1: scores of ±1/4 give β/2 times its gradient at τ = β.

Valid only if:
    all responses of a list answer the same prompt. Any sampling distributions will do,
    as long as lists connect all responses. "squared" needs β > 0.

Minimiser:
    π*_β ∝ π_ref exp(R/β); the gradient of every single pair is 0 there.

Known mistakes:
    (1) the sign: l minimised.
    (2) a stop-gradient on R_{β/2}: the fixed point is that of β/2.
    (3) R_β, without a stop-gradient: the minimiser is that of 2β.
    (4) the mean score as baseline, without the KL: biased off policy.
    (5) the sum over pairs not divided by K − 1.
    (6) a mean over tokens.
    (7) the reference left out: a uniform prior over responses.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.pairwise_sums import differences, unordered_sum
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline

card = Card(
    key="copg",
    title="Contrastive policy gradient",
    parents=("rloo", "ipo"),
    needs=("lists", "reward", "reference"),
    paper="Flet-Berliac et al. 2024 (2406.19185)",
    check="The minimiser is π*_β for any lists; on policy it is RLOO list by list.",
    claim="On a bandit off-policy it reaches the optimum; IPO and plain PG do not.",
    notebook="28",
    loop=offline,
    scale="beta",
    optimum="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of CoPG.

    Attributes:
        beta: reward units per nat.
        form: the paper's product, or its square, which differs by a constant.
    """

    beta: float = 0.06  # paper, the best on TL;DR, at second hand
    form: Literal["contrastive", "squared"] = "contrastive"  # paper


def _mean_of_others(batch: ListLogps, pairs: Tensor) -> Tensor:
    return unordered_sum(pairs) / (batch.scores.shape[-1] - 1)


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Σ over the pairs of each list, divided by K − 1; see ``form`` for the unit."""
    earned = differences(batch.scores.detach())
    apart = differences(batch.logratio())
    if cfg.form == "squared":
        pairs = (earned - cfg.beta * apart) ** 2 / (2 * cfg.beta)
    else:
        pairs = -(earned - cfg.beta / 2 * apart) * apart
    return _mean_of_others(batch, pairs)


def _half_detached(batch: ListLogps, cfg: Config) -> Tensor:
    earned = differences(batch.scores)
    apart = differences(batch.logratio())
    weight = (earned - cfg.beta / 2 * apart).detach()
    return _mean_of_others(batch, -weight * apart)


def _mean_score_baseline(batch: ListLogps, cfg: Config) -> Tensor:
    ratio = batch.logratio()
    value = batch.scores - batch.scores.mean(-1, keepdim=True) - cfg.beta * ratio
    return -(value.detach() * ratio).sum(-1)


def _not_divided(batch: ListLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) * (batch.scores.shape[-1] - 1)


mistakes = {
    "1 sign": edits.wrong_sign(loss),
    "2 stop-gradient on the half": _half_detached,
    "3 whole beta without stop-gradient": edits.with_config(
        loss, beta=lambda cfg: 2 * cfg.beta, form="contrastive"
    ),
    "4 mean score as baseline": _mean_score_baseline,
    "5 not divided by K - 1": _not_divided,
    "6 mean over tokens": edits.mean_over_tokens(loss),
    "7 no reference": edits.no_reference(loss),
}
