"""Conservative DPO: label smoothing, as if each label were flipped now and then.

Objective:
    L = −(1 − ε)·log σ(M) − ε·log σ(−M),  M = β·D,
    D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r), sums over response tokens.

Compared with DPO:
    L = L_DPO + ε·M: the hard label 1 is replaced by 1 − ε.

Valid only if:
    ε < 1/2 is about the rate of flipped labels. It caps the margins; it does not undo
    the flips, for which see rDPO.

Minimiser:
    M = log((1 − ε)/ε) on a pair with a hard label. With labels won with probability p
    that of DPO for p̃ = (1 − ε)p + ε(1 − p): flips are added, not taken away, so
    implicit rewards come out too small, and no policy need satisfy all pairs.

Known mistakes:
    (1) chosen and rejected swapped, which is also ε on the wrong term.
    (2) a minus before the flipped term: the numerator of rDPO, unbounded below.
    (3) ε read and not used: TRL 1.16's ``sigmoid``, which is DPO.
    (4) the mixture inside the logarithm: −log((1 − ε)σ(M) + εσ(−M)) has no minimiser.
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
    key="cdpo",
    title="Conservative DPO (label smoothing)",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Mitchell 2023 (note, ericmitchell.ai/cdpo.pdf)",
    check="L = L_DPO + ε·M; a hard pair ends at M = log((1 − ε)/ε), as under EXO.",
    claim="With flipped labels it beats DPO, and its implicit rewards are too small.",
    notebook="24",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of cDPO.

    Attributes:
        beta: reward units per nat.
        epsilon: probability that a label is flipped, below 1/2; 0 is DPO.
    """

    epsilon: float = 0.1  # ours: that of rDPO, to compare; HALOs uses 0.2


def link(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """The loss as a function of D alone."""
    flipped = cfg.epsilon * dpo.link(-margin, cfg)
    return (1 - cfg.epsilon) * dpo.link(margin, cfg) + flipped


def weight(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """−dL/dD = β·((1 − ε)σ(−M) − εσ(M)): negative past M = log((1 − ε)/ε)."""
    flipped = cfg.epsilon * dpo.weight(-margin, cfg)
    return (1 - cfg.epsilon) * dpo.weight(margin, cfg) - flipped


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Cross-entropy with the label 1 − ε of each pair, in nats."""
    return link(batch.margin(), cfg)


def _minus(batch: PairLogps, cfg: Config) -> Tensor:
    flipped = cfg.epsilon * dpo.link(-batch.margin(), cfg)
    return (1 - cfg.epsilon) * dpo.loss(batch, cfg) - flipped


def _inside_logarithm(batch: PairLogps, cfg: Config) -> Tensor:
    win = (cfg.beta * batch.margin()).sigmoid()
    return -((1 - cfg.epsilon) * win + cfg.epsilon * (1 - win)).log()


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 minus before the flipped term": _minus,
    "3 epsilon not used": dpo.loss,
    "4 mixture inside the logarithm": _inside_logarithm,
    "5 no beta": edits.with_config(loss, beta=1.0),
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
