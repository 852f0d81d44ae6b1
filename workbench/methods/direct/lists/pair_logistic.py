"""DPO on every ordered pair of a list.

Objective:
    L = Σ_{i,j: r_i > r_j} −log σ(β(d_i − d_j)),  d_i = log π(y_i)/π_ref(y_i), sums over
    response tokens. It is a sum over pairs, not a mean: without ties a list of K
    responses counts as K(K − 1)/2 pairs.

Compared with DPO:
    one pair becomes all pairs of a list; the link is the same.

Valid only if:
    all responses of a list answer the same prompt. Only the order of the scores is
    read; equal scores make no pair. Lists of different lengths are weighed on purpose,
    for the sum grows with the number of pairs.

Minimiser:
    Ranks drawn from a Plackett–Luce distribution of reward r: π*_β ∝ π_ref exp(r/β),
    whatever lists are drawn, since i stands before j with the Bradley–Terry probability
    σ(r_i − r_j). Derived here; checked over all ordered triples of an enumerated world.
    With fixed ranks the infimum lies at infinite margins.

Known mistakes:
    (1) the order reversed.
    (2) the mean over the pairs: the step shrinks as lists grow.
    (3) the best against the others alone: K − 1 pairs of K(K − 1)/2.
    (4) the place in the list taken for the rank: scores come in no order.
    (5) a response paired with its equals and with itself: equals are pulled together.
    (6) a mean over tokens.
    (7) β forgotten.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.pairwise_sums import differences, ordered_sum
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="pair_logistic",
    title="Logistic loss on all pairs of a list",
    parents=("dpo",),
    needs=("lists", "reward", "reference"),
    paper="T. Liu et al. 2024 (2402.01878)",
    check="Under Plackett–Luce ranks the population minimiser is π*_β.",
    claim="At equal lists it stays behind LiPO-λ in reward.",
    notebook="28",
    loop=offline,
    scale="beta",
    optimum="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of the losses on lists of LiPO.

    Attributes:
        beta: reward units per nat.
    """

    beta: float = 0.05  # LiPO's experiments, at second hand


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Σ −log σ(β(d_i − d_j)) over the ordered pairs of each list, in nats."""
    return ordered_sum(dpo.link(differences(batch.logratio()), cfg), batch.scores)


def _mean_over_pairs(batch: ListLogps, cfg: Config) -> Tensor:
    pairs = ordered_sum(torch.ones_like(differences(batch.scores)), batch.scores)
    return loss(batch, cfg) / pairs.clamp(min=1)


def _best_against_the_rest(batch: ListLogps, cfg: Config) -> Tensor:
    best = batch.scores == batch.scores.amax(-1, keepdim=True)
    return loss(replace(batch, scores=torch.where(best, 1.0, batch.scores * 0)), cfg)


def _place_as_rank(batch: ListLogps, cfg: Config) -> Tensor:
    place = torch.arange(batch.scores.shape[-1]).expand_as(batch.scores)
    return loss(replace(batch, scores=-place.to(batch.scores)), cfg)


def _ties_counted(batch: ListLogps, cfg: Config) -> Tensor:
    won = differences(batch.scores) >= 0
    values = dpo.link(differences(batch.logratio()), cfg)
    return torch.where(won, values, torch.zeros_like(values)).sum((-2, -1))


mistakes = {
    "1 order reversed": edits.swapped(loss),
    "2 mean over pairs": _mean_over_pairs,
    "3 best against the others alone": _best_against_the_rest,
    "4 place taken for the rank": _place_as_rank,
    "5 equals counted as pairs": _ties_counted,
    "6 mean over tokens": edits.mean_over_tokens(loss),
    "7 no beta": edits.with_config(loss, beta=1.0),
}
