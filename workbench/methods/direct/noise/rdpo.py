"""Robust DPO: a loss whose mean over flipped labels is DPO's on the clean ones.

Objective:
    L = [−(1 − ε)·log σ(M) + ε·log σ(−M)] / (1 − 2ε),  M = β·D,
    D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r), sums over response tokens.

Compared with DPO:
    L = L_DPO − ε·M/(1 − 2ε): where cDPO adds flips, this takes their mean effect away.
    (1 − ε)L(M) + εL(−M) = L_DPO(M).

Valid only if:
    labels are flipped independently, with the known probability ε < 1/2. The push never
    falls below βε/(1 − 2ε): a pair that always appears with one label has no minimum
    (L = −33.3 at M = 100, ε = 0.2), so training must be stopped early or held.

Minimiser:
    π*_β of the CLEAN Bradley–Terry labels, though the labels seen are flipped; DPO and
    cDPO end elsewhere. The price is variance, which grows with 1/(1 − 2ε).

Known mistakes:
    (1) chosen and rejected swapped.
    (2) a plus before the flipped term: cDPO.
    (3) not divided by 1 − 2ε: same minimiser, smaller steps.
    (4) divided by 1 − ε: a flip takes a right label away AND adds a wrong one.
    (5) β forgotten.
    (6) a mean over tokens.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="rdpo",
    title="Provably robust DPO",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Ray Chowdhury et al. 2024 (2403.00409)",
    check="(1 − ε)L(M) + εL(−M) = L_DPO(M); with flipped labels π*_β is the minimiser.",
    claim="As more labels are flipped it loses less gold reward than DPO and cDPO.",
    notebook="24",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of rDPO.

    Attributes:
        beta: reward units per nat.
        epsilon: probability that a label is flipped, below 1/2; 0 is DPO.
    """

    epsilon: float = 0.1  # the paper's typical value, according to TRL 1.16


def link(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """The loss as a function of D alone."""
    flipped = cfg.epsilon * dpo.link(-margin, cfg)
    clean = (1 - cfg.epsilon) * dpo.link(margin, cfg)
    return (clean - flipped) / (1 - 2 * cfg.epsilon)


def weight(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """−dL/dD = β·((1 − ε)σ(−M) + εσ(M))/(1 − 2ε), above βε/(1 − 2ε)."""
    flipped = cfg.epsilon * dpo.weight(-margin, cfg)
    clean = (1 - cfg.epsilon) * dpo.weight(margin, cfg)
    return (clean + flipped) / (1 - 2 * cfg.epsilon)


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Unbiased estimate of DPO's loss on the clean label of each pair, in nats."""
    return link(batch.margin(), cfg)


def _plus(batch: PairLogps, cfg: Config) -> Tensor:
    flipped = cfg.epsilon * dpo.link(-batch.margin(), cfg)
    return ((1 - cfg.epsilon) * dpo.loss(batch, cfg) + flipped) / (1 - 2 * cfg.epsilon)


def _not_divided(batch: PairLogps, cfg: Config) -> Tensor:
    return (1 - 2 * cfg.epsilon) * loss(batch, cfg)


def _divided_once(batch: PairLogps, cfg: Config) -> Tensor:
    return (1 - 2 * cfg.epsilon) / (1 - cfg.epsilon) * loss(batch, cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 plus before the flipped term": _plus,
    "3 not divided": _not_divided,
    "4 divided by 1 - epsilon": _divided_once,
    "5 no beta": edits.with_config(loss, beta=1.0),
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
