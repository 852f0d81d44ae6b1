"""Sequence likelihood calibration: a hinge on log-probs, plus the SFT loss.

Objective:
    L = max(0, δ − log π(y_c) + log π(y_r)) + λ·(−log π(y_c)), sums over response
    tokens. There is no reference; the second term stands for it.

Compared with HINGE:
    log-ratios are replaced by log-probs, and −λ log π(y_c) is added. Where the
    reference gives both responses the same log-prob and λ = 0, L_hinge at β is β times
    L at δ = 1/β.

Valid only if:
    the chosen response is the target of the SFT term, as in most re-implementations;
    the paper's target may be another response. A pair whose log-probs already differ
    by δ gets no calibration, which a longer rejected response brings about by itself.

Minimiser:
    for λ = 0 every policy with log π(y_c) − log π(y_r) ≥ δ on all pairs. For λ > 0 that
    of SFT on the chosen responses, if it satisfies all these. Derived here: no hinge is
    active there, and what is left is λ times the SFT loss.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the sign of the SFT term: the chosen response is unlearned.
    (3) log-ratios in the hinge: TRL's ``hinge`` is not SLiC.
    (4) a mean over tokens in the hinge.
    (5) the SFT term inside the maximum: it stops with the hinge.
    (6) always a mean over tokens in the SFT term, whatever ``nll`` says.
    (7) the SFT term on the rejected response.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import Reduce
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="slic",
    title="Sequence likelihood calibration",
    parents=("hinge", "sft"),
    needs=("pairs",),
    paper="Zhao et al. 2023 (2305.10425)",
    check="With λ = 0 and a reference equal on each pair, L_hinge(β) = β·L(δ = 1/β).",
    claim="The hinge stops pushing at its margin; the KL stays below that of DPO.",
    notebook="21a",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config:
    """Settings of SLiC.

    Attributes:
        delta: difference of log-probs that is asked for, nats per response.
        lam: weight of the SFT term, a pure number.
        nll: ``"sum"`` for an SFT term in nats per response, ``"mean"`` per token.
    """

    delta: float = 1.0  # HALOs
    lam: float = 0.1  # HALOs
    nll: Reduce = "sum"  # paper: −log-prob of the sequence


def _hinge(chosen: Tensor, rejected: Tensor, cfg: Config) -> Tensor:
    return (cfg.delta - chosen + rejected).relu()


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """log π(y): SLiC has no reference, and its hinge compares log-probs, in nats."""
    return responses.logps()


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Hinge on the log-probs plus λ times the SFT loss of each pair, in nats."""
    calibration = _hinge(batch.chosen.logps(), batch.rejected.logps(), cfg)
    return calibration - cfg.lam * batch.chosen.logps(cfg.nll)


def _logratios(batch: PairLogps, cfg: Config) -> Tensor:
    calibration = _hinge(batch.chosen.logratio(), batch.rejected.logratio(), cfg)
    return calibration - cfg.lam * batch.chosen.logps(cfg.nll)


def _mean_in_hinge(batch: PairLogps, cfg: Config) -> Tensor:
    calibration = _hinge(batch.chosen.logps("mean"), batch.rejected.logps("mean"), cfg)
    return calibration - cfg.lam * batch.chosen.logps(cfg.nll)


def _inside_maximum(batch: PairLogps, cfg: Config) -> Tensor:
    gap = cfg.delta - batch.chosen.logps() + batch.rejected.logps()
    return (gap - cfg.lam * batch.chosen.logps(cfg.nll)).relu()


def _nll_of_rejected(batch: PairLogps, cfg: Config) -> Tensor:
    calibration = _hinge(batch.chosen.logps(), batch.rejected.logps(), cfg)
    return calibration - cfg.lam * batch.rejected.logps(cfg.nll)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 sign of the SFT term": edits.with_config(loss, lam=lambda cfg: -cfg.lam),
    "3 log-ratios in the hinge": _logratios,
    "4 mean over tokens in the hinge": _mean_in_hinge,
    "5 SFT term inside the maximum": _inside_maximum,
    "6 always a mean in the SFT term": edits.with_config(loss, nll="mean"),
    "7 SFT term on the rejected response": _nll_of_rejected,
}
