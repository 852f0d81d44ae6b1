"""SFT as a DPO without pairs: imitation written in the implicit reward.

Objective:
    L = f*(−r) + c,  r = β d(y) + c, d = log π/π_ref, y ~ E (demonstrations), f* the
    convex conjugate of the divergence that compares π with E.

Compared with SFT:
    min_π D_f(π‖E) + K = max_r −E_E[f*(−r)] − max_π (E_π[r] − K), K = β KL(π‖π_ref),
    and the inner maximum of r = β d + c is c. For f*(t) = t, c cancels and L = −β d:
    SFT, which feels no KL. Else a demonstration pushes with β f*′(−r), not with β.

Valid only if:
    responses are demonstrations. The identity holds at the best c alone: c = 0, the
    default, leaves the reward no shift. Derived here; checked over all responses. The
    paper's equations were not at hand: which divergences beside these, sum or mean over
    tokens, c, and all defaults are not known to be its own.

Fixed point:
    π ∝ E f*′(−β d − c). At the best c the factor is 1, and π minimises D_f + β KL;
    f* = t gives π = E. Pearson's best c is −β E_E[d]: L is SFT + Var_E(β d)/4.

Known mistakes:
    (1) the sign of the reward within f*: demonstrations become unlikely.
    (2) no reference: r = β log π.
    (3) β outside f* instead of inside.
    (4) c inside f* alone, or a shift for free.
    (5) a gradient through the reference: the values agree, the training does not.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.divergences import PEARSON, Conjugate
from workbench.core.logps import Reduce
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="implicit_sft",
    title="SFT as implicit reward",
    parents=("sft", "dpo"),
    needs=("responses", "reference"),
    paper="Wang et al. 2025 (2507.00018)",
    check="At the best c, minus the loss is the least D_f(π‖E) + β KL(π‖π_ref).",
    claim="χ² or Hellinger in place of SFT leaves a better start for DPO.",
    notebook="26d",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of SFT as implicit reward.

    Attributes:
        beta: reward units per nat.
        conjugate: TOTAL_VARIATION, PEARSON or SQUARED_HELLINGER of core.divergences.
        offset: c, reward units.
        reduce: ``"sum"`` for d in nats per response, ``"mean"`` in nats per token.
    """

    beta: float = 0.1  # ours: the paper's is not known here; βd = 2 stops χ² at 20 nats
    conjugate: Conjugate = PEARSON  # ours: the simplest whose KL has an effect
    offset: float = 0.0  # ours: one value per example; the best c is one per prompt
    reduce: Reduce = "sum"  # ours: d of a response, as DPO


def loss(batch: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """f*(−r) + c of each demonstration, in units of the divergence."""
    reward = cfg.beta * batch.logratio(cfg.reduce) + cfg.offset
    return cfg.conjugate.value(-reward) + cfg.offset


def _wrong_sign(batch: ResponseLogps, cfg: Config) -> Tensor:
    reward = cfg.beta * batch.logratio(cfg.reduce) + cfg.offset
    return cfg.conjugate.value(reward) + cfg.offset


def _beta_outside(batch: ResponseLogps, cfg: Config) -> Tensor:
    reward = batch.logratio(cfg.reduce) + cfg.offset
    return cfg.beta * cfg.conjugate.value(-reward) + cfg.offset


def _free_shift(batch: ResponseLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) - cfg.offset


mistakes = {
    "1 sign of the reward": _wrong_sign,
    "2 no reference": edits.no_reference(loss),
    "3 beta outside": _beta_outside,
    "4 a shift for free": _free_shift,
    "5 gradient through the reference": edits.through_reference(loss),
}
