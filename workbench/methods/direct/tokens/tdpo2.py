"""Token-level DPO, second form: only the rejected response is held near π_ref.

Objective:
    L = −log σ(β·(D − α·(K(y_r) − sg[K(y_c)]))),
    K(y) = Σ_t KL(π_ref(·|s_t) ‖ π(·|s_t)), the sequential KL of TDPO1.

Compared with TDPO1:
    K is weighted with α, and that of the chosen response is a constant. At α = 1 the
    value is the same and the gradient lacks −βσ(−M)·∇K(y_c), M the argument of σ.

Valid only if:
    that of TDPO1. The stopped side is the chosen one: the loss asks for a small K(y_r)
    along rejected responses and lets π move along chosen ones.

Fixed point:
    that of DPO for α = 0. For α > 0 no policy with M = r_c − r_r for all pairs is one:
    what remains of the gradient is that of αβ Σ c K(y), with c ≥ 0 of each response
    from its pairs, a pull to π_ref. Derived here; at α = 1 the minimiser of TDPO1 is
    the policy to see it at. Not the gradient of any one function, so no minimiser.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the rejected side stopped and not the chosen one.
    (3) nothing stopped: with α = 1 TDPO1.
    (4) α forgotten.
    (5) α·K outside β.
    (6) the KL the other way round, π first.
    (7) a gradient through the distributions of the reference.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.kl import categorical_kl
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.distribution_pairs import PairDistributions
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.methods.direct.tokens import tdpo1

card = Card(
    key="tdpo2",
    title="Token-level DPO, second form",
    parents=("tdpo1",),
    needs=("pairs", "reference", "token distributions"),
    paper="Zeng et al. 2024 (2404.11999)",
    check="α = 0 is DPO; α = 1 lacks only −βσ(−M)·∇K(y_c) of the gradient of TDPO1.",
    claim="The KL of rejected responses grows more slowly than under DPO.",
    notebook="29a",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(tdpo1.Config):
    """Settings of TDPO2.

    Attributes:
        beta: reward units per nat.
        alpha: how much the sequential KL counts, a pure number; 0 is DPO.
    """

    alpha: float = 0.5  # official code, trainers.py


def loss(batch: PairDistributions, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·(D − α·(K(y_r) − sg[K(y_c)]))) of each pair, in nats."""
    chosen, rejected = tdpo1.kls(batch)
    gap = rejected - chosen.detach()
    return dpo.link(batch.margin() - cfg.alpha * gap, cfg)


def _rejected_stopped(batch: PairDistributions, cfg: Config) -> Tensor:
    chosen, rejected = tdpo1.kls(batch)
    return dpo.link(batch.margin() - cfg.alpha * (rejected.detach() - chosen), cfg)


def _nothing_stopped(batch: PairDistributions, cfg: Config) -> Tensor:
    chosen, rejected = tdpo1.kls(batch)
    return dpo.link(batch.margin() - cfg.alpha * (rejected - chosen), cfg)


def _policy_first(batch: PairDistributions, cfg: Config) -> Tensor:
    chosen = categorical_kl(
        batch.policy_chosen_distribution, batch.ref_chosen_distribution
    )
    rejected = categorical_kl(
        batch.policy_rejected_distribution, batch.ref_rejected_distribution
    )
    gap = sequence_logps(rejected, batch.rejected_mask)
    gap = gap - sequence_logps(chosen, batch.chosen_mask).detach()
    return dpo.link(batch.margin() - cfg.alpha * gap, cfg)


def _through_reference(batch: PairDistributions, cfg: Config) -> Tensor:
    rejected = categorical_kl(
        batch.ref_rejected_distribution, batch.policy_rejected_distribution
    )
    gap = sequence_logps(rejected, batch.rejected_mask)
    gap = gap - tdpo1.kls(batch)[0].detach()
    return dpo.link(batch.margin() - cfg.alpha * gap, cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 rejected side stopped": _rejected_stopped,
    "3 nothing stopped": _nothing_stopped,
    "4 no alpha": edits.with_config(loss, alpha=1.0),
    "5 KL outside beta": edits.with_config(
        loss, alpha=lambda cfg: cfg.alpha / cfg.beta
    ),
    "6 policy first in the KL": _policy_first,
    "7 gradient through the reference": _through_reference,
}
