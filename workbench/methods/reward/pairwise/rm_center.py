"""Centred reward model: a price on scores that stand far from 0.

Objective:
    L = −log σ(r_c − r_r) + c·(r_c + r_r)²        ("sum", TRL)
    L = −log σ(r_c − r_r) + ½c·(r_c² + r_r²)      ("each", Open-Assistant)

Compared with BT:
    BT leaves r + f(x) open for any f; the price chooses an f, so that scores of
    different prompts stand at about the same level.

Valid only if:
    it is known what else the price does. On pairs that share no response "sum" fixes
    r_c + r_r = 0 and leaves every difference alone; "each" shrinks the differences too.

Minimiser:
    one pair, won with probability p: r_c = −r_r = ½ logit p for "sum". On a complete
    graph of n responses Σ_{i<j} (r_i + r_j)² = (n − 2) Σ r_i² + (Σ r_i)²: there "sum"
    shrinks as well, the more so the larger n is, and only n = 2 is left alone.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the difference squared for the sum: the margin shrinks and the level is free.
    (3) no square: a linear price has no minimum.
    (4) the ½ of "each" forgotten: twice the price.
    (5) the chosen score alone: the rejected one may lie anywhere.
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
    key="rm_center",
    title="Centred reward model",
    parents=("bt",),
    needs=("pairs",),
    paper="Eisenstein et al. 2023 (2312.09244)",
    check="The price on the sum has no slope along r_c − r_r, that on each score has.",
    claim="Scores of different prompts get one level, and accuracy stays the same.",
    notebook="12",
    loop=reward,
)


@dataclass(frozen=True)
class Config:
    """Settings of the centred reward model.

    Attributes:
        center: c, nats per squared reward unit.
        of: what is squared, the sum of the two scores or each of them.
    """

    center: float = 0.01  # TRL's documentation suggests it for "sum"
    of: Literal["sum", "each"] = "sum"  # TRL; Open-Assistant: "each", with c = 0.001


def price(batch: PairScores, cfg: Config) -> Float[Tensor, " batch"]:
    """c·(r_c + r_r)², or ½c·(r_c² + r_r²), in nats."""
    if cfg.of == "sum":
        return cfg.center * (batch.chosen + batch.rejected).square()
    return cfg.center * (batch.chosen.square() + batch.rejected.square()) / 2


def loss(batch: PairScores, cfg: Config) -> Float[Tensor, " batch"]:
    """−log P(chosen ≻ rejected) and the price of each pair, in nats."""
    return price(batch, cfg) - logsigmoid(batch.margin())


def _difference_squared(batch: PairScores, cfg: Config) -> Tensor:
    return cfg.center * batch.margin().square() - logsigmoid(batch.margin())


def _no_square(batch: PairScores, cfg: Config) -> Tensor:
    return cfg.center * (batch.chosen + batch.rejected) - logsigmoid(batch.margin())


def _half_forgotten(batch: PairScores, cfg: Config) -> Tensor:
    again = 0.0 if cfg.of == "sum" else price(batch, cfg)
    return loss(batch, cfg) + again


def _chosen_alone(batch: PairScores, cfg: Config) -> Tensor:
    return cfg.center * batch.chosen.square() - logsigmoid(batch.margin())


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 difference squared for the sum": _difference_squared,
    "3 no square": _no_square,
    "4 half of each forgotten": _half_forgotten,
    "5 chosen score alone": _chosen_alone,
}
