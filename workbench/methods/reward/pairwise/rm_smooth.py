"""Reward models for labels that are flipped now and then: smoothed, or unbiased.

Objective:
    with l(z) = −log σ(z) and D = r_c − r_r
    L = (1 − ε)·l(D) + ε·l(−D)                  ("smoothed")
    L = [(1 − ε)·l(D) − ε·l(−D)] / (1 − 2ε)     ("unbiased")

Compared with BT:
    ε = 0 is BT. "smoothed" says the label 1 − ε for 1; "unbiased" takes out what flips
    add on average: over the flips of a clean label its mean is l of the clean one.

Valid only if:
    labels are flipped independently with probability ε < ½. "unbiased" pushes a pair
    for ever by at least ε/(1 − 2ε): on labels that a model can separate its loss has no
    minimum, so that it must be stopped early.

Minimiser:
    clean labels won with probability p, seen flipped with rate ε: D = logit p for
    "unbiased". For "smoothed" σ(D) = (1 − ε)p̃ + ε(1 − p̃), where p̃ is the share of wins
    seen, so that the flips are counted twice and the scores come out too small.

Known mistakes:
    (1) chosen and rejected swapped, which is also ε on the wrong term.
    (2) the signs mixed up: one form's flipped term in the other.
    (3) "unbiased" not divided by 1 − 2ε.
    (4) ε read and not used.
    (5) the mixture inside the logarithm.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.loops import reward

card = Card(
    key="rm_smooth",
    title="Reward model for flipped labels",
    parents=("bt",),
    needs=("pairs",),
    paper="Ray Chowdhury et al. 2024 (2403.00409)",
    check="The unbiased form's mean over the flips of a label is BT's clean loss.",
    claim="With flipped labels BT learns the flips; unbiased keeps the clean scale.",
    notebook="12a",
    loop=reward,
)


@dataclass(frozen=True)
class Config:
    """Settings of a reward model for flipped labels.

    Attributes:
        epsilon: ε, probability that a label is flipped, below ½.
        form: which of the two losses.
    """

    epsilon: float = 0.1  # ours: that of cDPO and rDPO here, to compare
    form: Literal["smoothed", "unbiased"] = "smoothed"  # ours: it has a minimum

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < 0.5:
            raise ValueError(f"epsilon is at least 0 and below 1/2, not {self.epsilon}")


def loss(batch: PairScores, cfg: Config) -> Float[Tensor, " batch"]:
    """The loss of each pair under the assumed rate of flips, in nats."""
    kept, flipped = (-logsigmoid(sign * batch.margin()) for sign in (1, -1))
    kept, flipped = (1 - cfg.epsilon) * kept, cfg.epsilon * flipped
    if cfg.form == "smoothed":
        return kept + flipped
    return (kept - flipped) / (1 - 2 * cfg.epsilon)


def _signs_mixed(batch: PairScores, cfg: Config) -> Tensor:
    # the flipped term counts twice with the other sign, on the scale of its form
    flipped = -cfg.epsilon * logsigmoid(-batch.margin())
    if cfg.form == "smoothed":
        return loss(batch, cfg) - 2 * flipped
    return loss(batch, cfg) + 2 * flipped / (1 - 2 * cfg.epsilon)


def _not_divided(batch: PairScores, cfg: Config) -> Tensor:
    whole = 1.0 if cfg.form == "smoothed" else 1 - 2 * cfg.epsilon
    return loss(batch, cfg) * whole


def _inside_logarithm(batch: PairScores, cfg: Config) -> Tensor:
    win = batch.margin().sigmoid()
    return -((1 - cfg.epsilon) * win + cfg.epsilon * (1 - win)).log()


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 signs mixed up": _signs_mixed,
    "3 not divided by 1 − 2ε": _not_divided,
    "4 epsilon not used": edits.with_config(loss, epsilon=0.0),
    "5 mixture inside the logarithm": _inside_logarithm,
}
