"""WPO: a pair counts by how likely the policy is to write it itself.

Objective:
    L = −w·log σ(β·D),  w = sg[min(c, w(y_c)·w(y_r))],
    w(y) = exp((1/|y|) Σ_t (log π(y_t|s_t) − log Σ_a π(a|s_t)²)),
    each token's probability over what a token of the policy's own has on average.

Compared with DPO:
    each pair's loss is multiplied by a constant: old data are reweighted towards the
    distribution of the policy that learns. Nothing changes where all weights are equal.

Valid only if:
    that of DPO; distributions are those of the policy as it is now, at temperature 1.

Fixed point:
    π*_β for Bradley–Terry labels, whatever the weights: w is the same for both orders
    of a pair and any weights leave π*_β stationary. Derived here. What changes is which
    pairs rule as long as they are few or contradict each other.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) a gradient through w: weights are lowered instead of margins raised.
    (3) a sum over tokens: long responses fade away.
    (4) no alignment: exp of the mean log π, small wherever many tokens are fine.
    (5) each weight capped, not their product.
    (6) weights of the reference: they never change.
    (7) prompt or padding counted in the weights: the mask ignored.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import Reduce, sequence_logps
from workbench.feedback.kinds.distribution_pairs import PairDistributions
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="wpo",
    title="Weighted preference optimisation",
    parents=("dpo",),
    needs=("pairs", "reference", "token distributions"),
    paper="Zhou et al. 2024 (2406.11827)",
    check="A uniform π has w = 1, E_{y_t∼π} of a token's ratio is 1, π*_β is fixed.",
    claim="With pairs of other models it earns more than DPO; with its own, the same.",
    notebook="80a",
    loop=offline,
    scale="beta",
    optimum="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of WPO.

    Attributes:
        beta: reward units per nat.
        cap: the largest weight of a pair; infinity for none.
    """

    beta: float = 0.01  # official recipe
    cap: float = 1.0  # official run_wpo.py, on the product; TRL 1.16 has none


def alignment(
    tokens: Float[Tensor, "batch time"],
    log_probs: Float[Tensor, "batch time vocab"],
    mask: Bool[Tensor, "batch time"],
    reduce: Reduce = "mean",
) -> Float[Tensor, " batch"]:
    """log w(y): log π(y_t) − log Σ_a π(a)², averaged over tokens; a constant."""
    expected = (2 * log_probs.detach()).logsumexp(-1)
    return sequence_logps(tokens.detach() - expected, mask, reduce)


def _sides(batch: PairDistributions) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    return (
        (batch.policy_chosen, batch.policy_chosen_distribution, batch.chosen_mask),
        (batch.policy_rejected, batch.policy_rejected_distribution,
         batch.rejected_mask),
    )  # fmt: skip


def pair_weight(
    batch: PairDistributions, cfg: Config, reduce: Reduce = "mean"
) -> Float[Tensor, " batch"]:
    """min(c, w(y_c) w(y_r)) of each pair; a constant."""
    chosen, rejected = _sides(batch)
    both = alignment(*chosen, reduce) + alignment(*rejected, reduce)
    return both.exp().clamp(max=cfg.cap)


def loss(batch: PairDistributions, cfg: Config) -> Float[Tensor, " batch"]:
    """−w log σ(βD) of each pair, in nats."""
    return pair_weight(batch, cfg) * dpo.loss(batch, cfg)


def _through_weight(batch: PairDistributions, cfg: Config) -> Tensor:
    def live(tokens: Tensor, log_probs: Tensor, mask: Tensor) -> Tensor:
        return sequence_logps(tokens - (2 * log_probs).logsumexp(-1), mask, "mean")

    chosen, rejected = _sides(batch)
    both = live(*chosen) + live(*rejected)
    return both.exp().clamp(max=cfg.cap) * dpo.loss(batch, cfg)


def _summed(batch: PairDistributions, cfg: Config) -> Tensor:
    return pair_weight(batch, cfg, "sum") * dpo.loss(batch, cfg)


def _no_alignment(batch: PairDistributions, cfg: Config) -> Tensor:
    logs = batch.chosen.logps("mean") + batch.rejected.logps("mean")
    return logs.detach().exp().clamp(max=cfg.cap) * dpo.loss(batch, cfg)


def _each_capped(batch: PairDistributions, cfg: Config) -> Tensor:
    chosen, rejected = _sides(batch)
    first = alignment(*chosen).exp().clamp(max=cfg.cap)
    second = alignment(*rejected).exp().clamp(max=cfg.cap)
    return first * second * dpo.loss(batch, cfg)


def _of_reference(batch: PairDistributions, cfg: Config) -> Tensor:
    chosen = (batch.ref_chosen, batch.ref_chosen_distribution, batch.chosen_mask)
    rejected = (batch.ref_rejected, batch.ref_rejected_distribution,
                batch.rejected_mask)  # fmt: skip
    both = alignment(*chosen) + alignment(*rejected)
    return both.exp().clamp(max=cfg.cap) * dpo.loss(batch, cfg)


def _mask_ignored(batch: PairDistributions, cfg: Config) -> Tensor:
    return pair_weight(edits.unmasked(batch), cfg) * dpo.loss(batch, cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 gradient through the weight": _through_weight,
    "3 sum over tokens": _summed,
    "4 no alignment": _no_alignment,
    "5 each weight capped": _each_capped,
    "6 weights of the reference": _of_reference,
    "7 prompt or padding counted": _mask_ignored,
}
