"""Kahneman–Tversky optimisation: single responses, judged against a reference point.

Objective:
    thumb up:   L = λ_d·(1 − σ(β(d − z₀))),   d = log π(y)/π_ref(y), a sum over tokens,
    thumb down: L = λ_u·(1 − σ(β(z₀ − d))),   z₀ = max(0, mean d of mismatched pairs).

Compared with DPO:
    no response has a partner. z₀, an estimate of KL(π‖π_ref), stands where the
    partner's log-ratio stood, and the loss is the sigmoid itself, not its logarithm.

Valid only if:
    z₀ is a constant, from prompts and responses that do not belong together (rows of
    one prompt are no mismatch) and from a batch of more than one;
    λ_d·n_d/(λ_u·n_u) lies in [1, 4/3] (the authors' advice).

Minimiser:
    none at finite log-ratios: a response that is good with chance q costs, up to a
    constant, −(λ_d q − λ_u(1 − q))·σ(β(d − z₀)), linear in the sigmoid; d runs to +∞ or
    to −∞ by the sign of the bracket. The push dies out on both sides.

Known mistakes:
    (1) thumbs swapped.
    (2) z₀ not clamped: a batch with a negative mean moves the point below 0.
    (3) a gradient through z₀: the values agree, the training does not.
    (4) z₀ outside β: σ(βd − z₀).
    (5) λ_d and λ_u swapped.
    (6) z₀ the mean of the responses themselves: matched, not mismatched.
    (7) −log σ for 1 − σ: BCO, with a finite minimiser.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.thumbs import ThumbLogps
from workbench.loops import offline

card = Card(
    key="kto",
    title="Kahneman–Tversky optimisation",
    parents=("dpo",),
    needs=("thumbs", "reference"),
    paper="Ethayarajh et al. 2024 (2402.01306)",
    check="Linear in σ(β(d − z₀)): no finite minimiser; z₀ = 0 is APO-zero on a pair.",
    claim="With few thumbs up and λ balanced it keeps up with DPO on all pairs.",
    notebook="22",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of KTO.

    Attributes:
        beta: reward units per nat.
        desirable: λ_d, weight of a thumb up.
        undesirable: λ_u, weight of a thumb down.
    """

    beta: float = 0.1  # TRL 1.16
    desirable: float = 1.0  # TRL 1.16, desirable_weight
    undesirable: float = 1.0  # TRL 1.16, undesirable_weight


def loss(batch: ThumbLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """λ(1 − σ(±β(d − z₀))) of each response, between 0 and λ."""
    point = batch.reference_point.detach().clamp(min=0)
    return _value(cfg.beta * (batch.logratio() - point), batch.up, cfg)


def _value(gain: Tensor, up: Tensor, cfg: Config) -> Tensor:
    # 1 − σ(x) = σ(−x)
    good = cfg.desirable * (-gain).sigmoid()
    return torch.where(up, good, cfg.undesirable * gain.sigmoid())


def _not_clamped(batch: ThumbLogps, cfg: Config) -> Tensor:
    gain = cfg.beta * (batch.logratio() - batch.reference_point.detach())
    return _value(gain, batch.up, cfg)


def _through_point(batch: ThumbLogps, cfg: Config) -> Tensor:
    gain = cfg.beta * (batch.logratio() - batch.reference_point.clamp(min=0))
    return _value(gain, batch.up, cfg)


def _outside_beta(batch: ThumbLogps, cfg: Config) -> Tensor:
    point = batch.reference_point.detach().clamp(min=0)
    return _value(cfg.beta * batch.logratio() - point, batch.up, cfg)


def _logarithm(batch: ThumbLogps, cfg: Config) -> Tensor:
    point = batch.reference_point.detach().clamp(min=0)
    gain = cfg.beta * (batch.logratio() - point)
    good = -cfg.desirable * logsigmoid(gain)
    return torch.where(batch.up, good, -cfg.undesirable * logsigmoid(-gain))


mistakes = {
    "1 thumbs swapped": edits.swapped(loss),
    "2 reference point not clamped": _not_clamped,
    "3 gradient through the reference point": _through_point,
    "4 reference point outside beta": _outside_beta,
    "5 weights swapped": edits.with_config(
        loss,
        desirable=lambda cfg: cfg.undesirable,
        undesirable=lambda cfg: cfg.desirable,
    ),
    "6 matched reference point": edits.with_batch(
        loss, reference_point=lambda batch: batch.reference_mean
    ),
    "7 logarithm of the sigmoid": _logarithm,
}
