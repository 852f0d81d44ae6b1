"""Reward model of whole rankings: the Plackett–Luce likelihood of the scores.

Objective:
    L = −Σ_{k < m} [r_{σ(k)} − log Σ_{j ≥ k} e^{r_{σ(j)}}], σ the ranking, best first,
    over the first m picks ("likelihood"); a sum over picks, not a mean. Or the mean of
    −log σ(r_i − r_j) over all pairs i ranked before j ("pairs", InstructGPT).

Compared with BT:
    K = 2 is BT. A ranking of K says more than a pair, and its K(K − 1)/2 pairs are not
    independent of each other.

Valid only if:
    rankings are Plackett–Luce: each pick is by e^r among those that are left. "pairs"
    is a composite likelihood: its minimiser is the same, its curvature overstates what
    is known, and it bears rankings of other kinds better. Ties are not compared.

Minimiser:
    r* + f(x) for Plackett–Luce rankings of r*, for either form and for any m ≥ 1.

Known mistakes:
    (1) the order reversed.
    (2) the whole list in every denominator: what was picked is not put aside.
    (3) the place in the list taken for its rank.
    (4) a mean over the picks: long lists weigh less per choice.
    (5) the worst picked first with −r: another distribution from K = 3 on.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.pairwise_sums import differences, ordered_sum
from workbench.core.rankings import rank_nll
from workbench.feedback.kinds.list_scores import ListScores
from workbench.loops import reward

card = Card(
    key="rm_plackett_luce",
    title="Plackett–Luce reward model",
    parents=("bt",),
    needs=("lists",),
    paper="Plackett 1975; Zhu et al. 2023 (2301.11270)",
    check="The chances of all K! rankings sum to 1, and of each pair to σ(r_i − r_j).",
    claim="From as many rankings it errs less than all their pairs taken as pairs.",
    notebook="12a",
    loop=reward,
)


@dataclass(frozen=True)
class Config:
    """Settings of a reward model of rankings.

    Attributes:
        form: the likelihood of the ranking, or the mean over its pairs.
        top: picks that count, from the best; None is all of them.
    """

    form: Literal["likelihood", "pairs"] = "likelihood"  # Zhu et al. 2023
    top: int | None = None  # Zhu et al. 2023: all

    def __post_init__(self) -> None:
        if self.top is not None and self.top < 1:
            raise ValueError(f"top is at least 1, not {self.top}")


def loss(batch: ListScores, cfg: Config) -> Float[Tensor, " batch"]:
    """−log of the chance of each list's ranking, or the mean over its pairs, nats."""
    if cfg.form == "pairs":
        each = -logsigmoid(differences(batch.values))
        compared = (differences(batch.scores) > 0).sum((-2, -1)).clamp(min=1)
        return ordered_sum(each, batch.scores) / compared
    return rank_nll(batch.values, batch.scores, cfg.top)


def _nothing_put_aside(batch: ListScores, cfg: Config) -> Tensor:
    return -batch.values.log_softmax(-1).sum(-1)


def _place_as_rank(batch: ListScores, cfg: Config) -> Tensor:
    place = torch.arange(batch.scores.shape[-1]).expand_as(batch.scores)
    return loss(replace(batch, scores=-place.to(batch.scores)), cfg)


def _mean_over_picks(batch: ListScores, cfg: Config) -> Tensor:
    return loss(batch, cfg) / batch.values.shape[-1]


def _worst_first(batch: ListScores, cfg: Config) -> Tensor:
    return loss(ListScores(-batch.values, -batch.scores), cfg)


mistakes = {
    "1 order reversed": edits.swapped(loss),
    "2 nothing put aside": _nothing_put_aside,
    "3 place taken for the rank": _place_as_rank,
    "4 mean over the picks": _mean_over_picks,
    "5 worst picked first": _worst_first,
}
