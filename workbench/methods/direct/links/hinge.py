"""Hinge on log-ratios: a pair pushes until it reaches its margin, then no more.

Objective:
    L = max(0, 1 − β·D),  D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r), sums over
    response tokens. RSO calls it hinge-norm (β is its γ), TRL ``hinge``.

Compared with DPO:
    −log σ(βD) is replaced by a hinge: the support vector machine on log-ratios. The
    push is β or nothing, whatever the distance.

Valid only if:
    both responses answer the same prompt; labels are nearly clean, for a flipped pair
    pushes with β for ever as long as the right ones hold it on the other side.

Minimiser:
    with hard labels every policy with D ≥ 1/β on all pairs, so it is not unique and
    finite ones exist. With soft labels each free pair ends at D = ±1/β: the sign of
    p − 1/2 is learned and the size of p is not, so π*_β is no minimiser.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) β forgotten: the margin is 1 nat.
    (3) the reference left out: the hinge of SLiC.
    (4) a mean over tokens: a margin of 1/β nats per token.
    (5) margin 1/β − D: same minimisers, but the slope is 1 and not β.
    (6) a gradient through the reference: the values agree, the training does not.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.loops import offline

card = Card(
    key="hinge",
    title="Hinge on log-ratios",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Liu et al. 2023 (2309.06657)",
    check="Value and gradient over all pairs are 0 if and only if each has βD ≥ 1.",
    claim="With hard labels the margins stop at 1/β; those of DPO grow.",
    notebook="21",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of the hinge.

    Attributes:
        beta: inverse of the margin that is asked for, 1/nats.
    """

    beta: float = 0.1  # TRL 1.16; the paper's γ is 0.05


def link(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """The loss as a function of D alone."""
    return (1 - cfg.beta * margin).relu()


def weight(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """−dL/dD = β before the margin, 0 from there on."""
    return torch.where(cfg.beta * margin < 1, cfg.beta, torch.zeros_like(margin))


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """max(0, 1 − βD) of each pair, a pure number."""
    return link(batch.margin(), cfg)


def _slope_one(batch: PairLogps, cfg: Config) -> Tensor:
    return (1 / cfg.beta - batch.margin()).relu()


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 no beta": edits.with_config(loss, beta=1.0),
    "3 no reference": edits.no_reference(loss),
    "4 mean over tokens": edits.mean_over_tokens(loss),
    "5 slope one": _slope_one,
    "6 gradient through the reference": edits.through_reference(loss),
}
