"""DPO-Positive: a penalty once the chosen response falls below the reference.

Objective:
    L = −log σ(β (D − λ max(0, −d_c))),  d_c = log π(y_c)/π_ref(y_c), D = d_c − d_r,
    summed over tokens.

Compared with DPO:
    where d_c ≥ 0 it is DPO; where d_c < 0 it is DPO with (1 + λ) d_c in place of d_c.

Valid only if:
    the chosen responses are good in themselves. The penalty is inside β and inside the
    sigmoid: it is no term of its own, and λ is nats of margin per nat lost.

Minimiser:
    not π*_β, which lowers some response that is sometimes chosen. With hard labels the
    infimum is 0, at d_r → −∞, even with d_c < 0 held fixed. At d_c = 0, where training
    starts, the subgradient of the penalty is 0: the first step is DPO's.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the penalty outside the sigmoid.
    (3) the penalty inside the sigmoid and outside β.
    (4) the sign of the log-ratio: responses above the reference are punished.
    (5) the penalty on the rejected response.
    (6) the penalty on log π, without the reference.
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
    key="dpop",
    title="DPO-Positive",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Pal et al. 2024 (2402.13228)",
    check="DPO where d(y_c) ≥ 0; DPO with (1 + λ) d(y_c) where it is negative.",
    claim="On pairs a few edits apart DPO lowers the chosen response, DPOP does not.",
    notebook="26",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of DPOP.

    Attributes:
        beta: reward units per nat.
        lam: λ, nats of margin per nat that the chosen response lost.
    """

    beta: float = 0.3  # from memory of the paper
    lam: float = 50.0  # SamPO's code, citing the authors; paper from memory: 50 or 5


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β (D − λ max(0, −d_c))) of each pair, in nats."""
    lost = (-batch.chosen.logratio()).relu()
    return dpo.link(batch.margin() - cfg.lam * lost, cfg)


def _outside(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.loss(batch, cfg) + cfg.lam * (-batch.chosen.logratio()).relu()


def _gain_punished(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.link(batch.margin() - cfg.lam * batch.chosen.logratio().relu(), cfg)


def _on_rejected(batch: PairLogps, cfg: Config) -> Tensor:
    lost = (-batch.rejected.logratio()).relu()
    return dpo.link(batch.margin() - cfg.lam * lost, cfg)


def _no_reference(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.link(batch.margin() + cfg.lam * batch.chosen.logps(), cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 penalty outside the sigmoid": _outside,
    "3 penalty outside beta": edits.with_config(
        loss, lam=lambda cfg: cfg.lam / cfg.beta
    ),
    "4 gains punished": _gain_punished,
    "5 penalty on the rejected response": _on_rejected,
    "6 penalty without reference": _no_reference,
}
