"""The hinge on every ordered pair of a list.

Objective:
    L = Σ_{i,j: r_i > r_j} max(0, 1 − β(d_i − d_j)),  d_i = log π(y_i)/π_ref(y_i), sums
    over response tokens; a sum over pairs, not a mean.

Compared with HINGE:
    one pair becomes all pairs of a list (in pair_logistic: the link of DPO).

Valid only if:
    all responses of a list answer the same prompt; their order is nearly clean. Equal
    scores make no pair.

Minimiser:
    With fixed ranks every policy whose neighbours in rank are 1/β nats apart, so the
    best of K is at least (K − 1)/β above the worst; there the loss is 0. With noisy
    ranks π*_β is no minimiser: the hinge learns signs.

Known mistakes:
    (1) the order reversed.
    (2) the difference of the scores as margin in place of 1.
    (3) a margin of 1/β and slope 1: same minimisers, another step.
    (4) neighbours in rank alone: K − 1 pairs, and the best has one rival.
    (5) the mean over the pairs.
    (6) a mean over tokens.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.pairwise_sums import differences, ordered_sum
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.links import hinge

card = Card(
    key="pair_hinge",
    title="Hinge loss on all pairs of a list",
    parents=("hinge", "pair_logistic"),
    needs=("lists", "reward", "reference"),
    paper="T. Liu et al. 2024 (2402.01878)",
    check="The loss is 0 if and only if neighbours in rank are 1/β nats apart.",
    claim="At equal lists it stays behind LiPO-λ in reward.",
    notebook="80a",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(hinge.Config):
    """Settings of the hinge on all pairs.

    Attributes:
        beta: inverse of the margin that is asked for, 1/nats.
    """

    beta: float = 0.05  # LiPO's experiments, at second hand


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Σ max(0, 1 − β(d_i − d_j)) over the ordered pairs of each list, a pure number."""
    return ordered_sum(hinge.link(differences(batch.logratio()), cfg), batch.scores)


def _score_margin(batch: ListLogps, cfg: Config) -> Tensor:
    short = differences(batch.scores) - cfg.beta * differences(batch.logratio())
    return ordered_sum(short.relu(), batch.scores)


def _slope_one(batch: ListLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) / cfg.beta


def _neighbours(batch: ListLogps, cfg: Config) -> Tensor:
    order = batch.scores.argsort(-1, descending=True)
    ranked = batch.logratio().gather(-1, order)
    return hinge.link(ranked[..., :-1] - ranked[..., 1:], cfg).sum(-1)


def _mean_over_pairs(batch: ListLogps, cfg: Config) -> Tensor:
    pairs = ordered_sum(torch.ones_like(differences(batch.scores)), batch.scores)
    return loss(batch, cfg) / pairs.clamp(min=1)


mistakes = {
    "1 order reversed": edits.swapped(loss),
    "2 difference of scores as margin": _score_margin,
    "3 slope one": _slope_one,
    "4 neighbours alone": _neighbours,
    "5 mean over pairs": _mean_over_pairs,
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
