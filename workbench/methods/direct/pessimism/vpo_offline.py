"""VPO: likelihood of the labels, plus pessimism or optimism about what is attainable.

Objective:
    L = −log σ(βD) + s αβ d(y_cal),  d = log π/π_ref summed over tokens, y_cal ~ π_cal;
    s = −1 is pessimism, for offline data; s = +1 is optimism, for online data.

Compared with DPO:
    min over rewards of L_BT(r) − s α J*(r), J*(r) = max_π E_π[r] − β KL(π‖π_ref) =
    β log Z. r is known up to a shift, which E_cal[r] = 0 fixes; then
    J*(β log π/π_ref + c) = −β E_cal[d]. RPO's cumulative form is the case s = −1,
    α = η, π_cal = the chosen responses, up to a constant.

Valid only if:
    π_cal is fixed. Drawn from π itself its expected gradient is 0. Responses of π_ref
    (``calibration_term``) make pessimism αβ KL(π_ref‖π), a forward KL.

Fixed point:
    Σ_j w_kj [P(k ≻ j) − σ(βD_kj)] = s α [π_cal(y_k) − π(y_k)] for every y_k and
    symmetric pair weights w; α = 0 is DPO's minimiser. Derived here, as is the form of
    L, from J*; checked over all responses. The paper's equations were not at hand.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the sign: optimism offline.
    (3) β left out of the term.
    (4) calibrated on the rejected responses.
    (5) a mean over tokens in the term.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="vpo_offline",
    title="Value-incentivised preference optimisation",
    parents=("dpo", "rpo"),
    needs=("pairs", "reference"),
    paper="Cen et al. 2024 (2405.19320)",
    check="Loss minus DPO is −s α J* of its own reward, calibrated on π_cal.",
    claim="Pessimism does not over-optimise as epochs grow; DPO and IPO do.",
    notebook="26c",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of VPO.

    Attributes:
        beta: reward units per nat.
        alpha: weight of the attainable value, nats of loss per reward unit.
        sign: s, −1 for pessimism, +1 for optimism.
        calibration: π_cal, the chosen responses or all responses of the pairs.
    """

    beta: float = 0.1  # ours: as DPO; the paper's value is not known here
    alpha: float = 0.1  # ours: middle of 0.01, 0.1, 1; the paper's is not known here
    sign: Literal[-1, 1] = -1  # paper: pessimism for offline data
    calibration: Literal["chosen", "both"] = "chosen"  # ours: RPO's base responses


def calibration_term(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """s αβ d(y) of responses drawn from π_cal; its mean is −s α J*."""
    return cfg.sign * cfg.alpha * cfg.beta * responses.logratio()


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(βD) of each pair, plus the term of its calibration responses."""
    term = calibration_term(batch.chosen, cfg)
    if cfg.calibration == "both":
        term = (term + calibration_term(batch.rejected, cfg)) / 2
    return dpo.loss(batch, cfg) + term


def _swapped(batch: PairLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) - dpo.loss(batch, cfg) + dpo.link(-batch.margin(), cfg)


def _on_rejected(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.loss(batch, cfg) + calibration_term(batch.rejected, cfg)


def _mean_over_tokens(batch: PairLogps, cfg: Config) -> Tensor:
    strength = cfg.sign * cfg.alpha * cfg.beta
    return dpo.loss(batch, cfg) + strength * batch.chosen.logratio("mean")


mistakes = {
    "1 swapped pair": _swapped,
    "2 wrong sign": edits.with_config(loss, sign=lambda cfg: -cfg.sign),
    "3 no beta in the term": edits.with_config(
        loss, alpha=lambda cfg: cfg.alpha / cfg.beta
    ),
    "4 calibrated on rejected": _on_rejected,
    "5 mean over tokens": _mean_over_tokens,
}
