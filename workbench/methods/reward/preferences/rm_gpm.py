"""General preference model: responses as vectors, compared by a turn instead of a gap.

Objective:
    L = −log σ(s(y_c, y_r)/τ),  s(y, y') = Σ_b λ_b(x)·(a_b b'_b − b_b a'_b) over the k
    pairs (a_b, b_b) of numbers of y; λ(x) = k·softmax of a head of the prompt, or 1.

Compared with BT:
    BT is k = 1, (a, b) = (r, 1), λ = 1. There s is a difference of scores; in general
    it is any antisymmetric function, of rank 2k per prompt.

Valid only if:
    both vectors are of the same prompt; the width is even. s has no absolute meaning:
    only σ(s/τ) does, so that τ belongs to the model and not to its use.

Minimiser:
    s = τ·logit p wherever an antisymmetric matrix logit p has rank at most 2k. A
    cycle of three needs k = 1: vectors at 0°, 120° and 240°.

Known mistakes:
    (1) chosen and rejected swapped, as with the sign of a block turned.
    (2) a plus in the block: s is symmetric. Both labels of a pair push it up, so that
        the loss falls below the entropy of the labels and nobody is preferred.
    (3) the inner product for the turn: symmetric as well, and the same happens.
    (4) the temperature multiplied.
    (5) the gate left out where the prompt has one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pair_vectors import PairVectors
from workbench.loops import reward
from workbench.models.preference_vectors import PreferenceVectors, lead

card = Card(
    key="rm_gpm",
    title="General preference model",
    parents=("bt",),
    needs=("pairs",),
    paper="Zhang et al. 2024 (2410.02197)",
    check="s(y, y') = −s(y', y) exactly; with (a, b) = (r, 1) it is BT.",
    claim="It explains cycles, of which BT orders two choices in three at best.",
    notebook="13",
    loop=reward,
    hooks=("build", "margin"),
)


@dataclass(frozen=True)
class Config:
    """Settings of the general preference model.

    Attributes:
        k: pairs of numbers of a response, half of its width.
        tau: τ, reward units per nat.
        gated: whether the prompt weighs the pairs of numbers.
    """

    k: int = 3  # paper: width 2k of 2 to 8
    tau: float = 0.1  # official code; 1 for BT there
    gated: bool = True  # official training code

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k is at least 1, not {self.k}")


def build(vocab, cfg: Config, seed: int) -> PreferenceVectors:
    """A fresh model with k pairs of numbers."""
    return PreferenceVectors.tiny(vocab, cfg.k, seed=seed)


def margin(batch: PairVectors, cfg: Config) -> Float[Tensor, " batch"]:
    """Log-odds s/τ that the chosen response is preferred."""
    each = lead(batch.chosen, batch.rejected)
    return (batch.gate * each if cfg.gated else each).sum(-1) / cfg.tau


def loss(batch: PairVectors, cfg: Config) -> Float[Tensor, " batch"]:
    """−log P(chosen ≻ rejected) of each pair, in nats."""
    return -logsigmoid(margin(batch, cfg))


def _of(each: Tensor, batch: PairVectors, cfg: Config) -> Tensor:
    weighed = batch.gate * each if cfg.gated else each
    return -logsigmoid(weighed.sum(-1) / cfg.tau)


def _plus(batch: PairVectors, cfg: Config) -> Tensor:
    one, two = (v.unflatten(-1, (-1, 2)) for v in (batch.chosen, batch.rejected))
    return _of((one * two.flip(-1)).sum(-1), batch, cfg)


def _inner_product(batch: PairVectors, cfg: Config) -> Tensor:
    each = (batch.chosen * batch.rejected).unflatten(-1, (-1, 2)).sum(-1)
    return _of(each, batch, cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 plus in the block": _plus,
    "3 inner product for the turn": _inner_product,
    "4 temperature multiplied": edits.with_config(loss, tau=lambda cfg: 1 / cfg.tau),
    "5 gate left out": edits.with_batch(
        loss, gate=lambda batch: torch.ones_like(batch.gate)
    ),
}
