"""Token-level DPO, first form: the score of a response counts the KL along its way.

Objective:
    L = −log σ(β·(D − (K(y_r) − K(y_c)))),
    K(y) = Σ_t KL(π_ref(·|s_t) ‖ π(·|s_t)) over the states of y, reference first, with
    gradient. A response is scored β·(d(y) + K(y)), d(y) = log π(y|x)/π_ref(y|x).

Compared with DPO:
    K, the sequential KL, is added to the log-ratio of each response, in β and with
    gradient on both sides. The whole next-token distributions are read, not the tokens'
    alone.

Valid only if:
    that of DPO; the distributions are those of temperature 1, and K reads the same
    tokens as d: the end of sequence counts, the prompt does not.

Minimiser:
    π(a|s) ∝ π_ref(a|s) exp(V^ref(s·a)/β) for Bradley–Terry labels of r and any pairs
    that connect all responses; V^ref(s) = E_ref[r | s]. One step of improvement over
    π_ref, and not π*_β, whose exponent holds V*. Derived here: E_ref of
    log π/π_ref(a|s) + KL(s) is 0 in every state, so the score is a martingale under
    π_ref; the only one that ends at r − E_ref[r] has the steps V^ref(s·a) − V^ref(s).
    At depth 1 both policies are the same.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the KL the other way round, π first: the score is no martingale any more.
    (3) K subtracted instead of added.
    (4) K detached on both sides: the value agrees, the training does not.
    (5) K outside β.
    (6) K averaged over tokens.
    (7) prompt or padding counted in K: the mask ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.kl import categorical_kl
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.distribution_pairs import PairDistributions
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="tdpo1",
    title="Token-level DPO, first form",
    parents=("dpo",),
    needs=("pairs", "reference", "token distributions"),
    paper="Zeng et al. 2024 (2404.11999)",
    check="Its population minimiser is ∝ π_ref(a|s) exp(V^ref(s·a)/β), not π*_β.",
    claim="At equal sequential KL it earns more reward than DPO.",
    notebook="29",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of TDPO1.

    Attributes:
        beta: reward units per nat.
    """

    beta: float = 0.1  # official code, README


def sequential_kl(
    ref_log_probs: Float[Tensor, "batch time vocab"],
    log_probs: Float[Tensor, "batch time vocab"],
    mask: Bool[Tensor, "batch time"],
) -> Float[Tensor, " batch"]:
    """K(y) = Σ_t KL(π_ref(·|s_t) ‖ π(·|s_t)) in nats, no gradient into π_ref."""
    return sequence_logps(categorical_kl(ref_log_probs.detach(), log_probs), mask)


def kls(
    batch: PairDistributions,
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """K(y_c) and K(y_r), in nats."""
    return (
        sequential_kl(
            batch.ref_chosen_distribution,
            batch.policy_chosen_distribution,
            batch.chosen_mask,
        ),
        sequential_kl(
            batch.ref_rejected_distribution,
            batch.policy_rejected_distribution,
            batch.rejected_mask,
        ),
    )


def loss(batch: PairDistributions, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·(D + K(y_c) − K(y_r))) of each pair, in nats."""
    chosen, rejected = kls(batch)
    return dpo.link(batch.margin() + chosen - rejected, cfg)


def _with(gap: Callable[[PairDistributions, Config], Tensor]) -> edits.Loss:
    def wrong(batch: PairDistributions, cfg: Config) -> Tensor:
        return dpo.link(batch.margin() + gap(batch, cfg), cfg)

    return wrong


def _gap(batch: PairDistributions) -> Tensor:
    chosen, rejected = kls(batch)
    return chosen - rejected


def _policy_first(batch: PairDistributions, cfg: Config) -> Tensor:
    chosen = categorical_kl(
        batch.policy_chosen_distribution, batch.ref_chosen_distribution
    )
    rejected = categorical_kl(
        batch.policy_rejected_distribution, batch.ref_rejected_distribution
    )
    gap = sequence_logps(chosen, batch.chosen_mask)
    return gap - sequence_logps(rejected, batch.rejected_mask)


def _averaged(batch: PairDistributions, cfg: Config) -> Tensor:
    chosen, rejected = kls(batch)
    return chosen / batch.chosen_mask.sum(-1) - rejected / batch.rejected_mask.sum(-1)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 policy first in the KL": _with(_policy_first),
    "3 KL subtracted": _with(lambda batch, cfg: -_gap(batch)),
    "4 KL detached on both sides": _with(lambda batch, cfg: _gap(batch).detach()),
    "5 KL outside beta": _with(lambda batch, cfg: _gap(batch) / cfg.beta),
    "6 KL averaged over tokens": _with(_averaged),
    "7 prompt or padding counted": _with(
        lambda batch, cfg: _gap(edits.unmasked(batch))
    ),
}
