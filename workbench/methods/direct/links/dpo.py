"""Direct preference optimisation: the policy is its own reward model.

Objective:
    L = −log σ(β·D),  D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r),
    with log-probabilities summed over response tokens.

Compared with BT:
    the score r(x, y) is replaced by the implicit reward β log π(y|x)/π_ref(y|x); the
    β log Z(x) that this leaves out cancels in the difference.

Valid only if:
    both responses answer the same prompt; the reference is where the policy starts;
    dropout is off in both, or D ≠ 0 at the first step; log-probs of a response include
    its end of sequence.

Minimiser:
    π*_β ∝ π_ref exp(r/β) for Bradley–Terry labels of reward r, whatever pairs are
    drawn, as long as they connect all responses. With hard labels and few pairs the
    infimum lies at D = ∞, and responses in no pair are left free.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) a mean over tokens: length-normalised DPO, another method.
    (3) prompt or padding tokens counted: the mask ignored.
    (4) a gradient through the reference: the values agree, the training does not.
    (5) β forgotten.
    (6) the reference left out: D is a difference of log-probs.
    (7) the end of sequence left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from workbench.core.card import Card
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.pairs import PairLogps
from workbench.loops import offline

card = Card(
    key="dpo",
    title="Direct preference optimisation",
    parents=("bt",),
    needs=("pairs", "reference"),
    paper="Rafailov et al. 2023 (2305.18290)",
    check="The population minimiser over all responses is π*_β, KL below 1e-6.",
    claim="At equal KL the frontier of DPO matches or dominates that of PPO.",
    notebook="20",
    loop=offline,
    scale="beta",
    optimum="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of DPO.

    Attributes:
        beta: reward units per nat; small values move far from the reference.
    """

    beta: float = 0.1  # paper, appendix B


def link(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """The loss as a function of D alone."""
    return -logsigmoid(cfg.beta * margin)


def weight(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """−dL/dD = β σ(−βD): how hard a pair pushes, most where it is ordered wrongly."""
    return cfg.beta * (-cfg.beta * margin).sigmoid()


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·D) of each pair, in nats."""
    return link(batch.margin(), cfg)


def _swapped(batch: PairLogps, cfg: Config) -> Tensor:
    return link(-batch.margin(), cfg)


def _mean_over_tokens(batch: PairLogps, cfg: Config) -> Tensor:
    return link(batch.margin("mean"), cfg)


def _mask_ignored(batch: PairLogps, cfg: Config) -> Tensor:
    chosen = batch.policy_chosen - batch.ref_chosen.detach()
    rejected = batch.policy_rejected - batch.ref_rejected.detach()
    return link(chosen.sum(-1) - rejected.sum(-1), cfg)


def _through_reference(batch: PairLogps, cfg: Config) -> Tensor:
    chosen = batch.policy_chosen - batch.ref_chosen
    rejected = batch.policy_rejected - batch.ref_rejected
    first = sequence_logps(chosen, batch.chosen_mask)
    return link(first - sequence_logps(rejected, batch.rejected_mask), cfg)


def _no_beta(batch: PairLogps, cfg: Config) -> Tensor:
    return -logsigmoid(batch.margin())


def _no_reference(batch: PairLogps, cfg: Config) -> Tensor:
    return link(batch.chosen.logps() - batch.rejected.logps(), cfg)


def _end_left_out(batch: PairLogps, cfg: Config) -> Tensor:
    chosen = batch.chosen_mask & pad(batch.chosen_mask[:, 1:], (0, 1))
    rejected = batch.rejected_mask & pad(batch.rejected_mask[:, 1:], (0, 1))
    return loss(replace(batch, chosen_mask=chosen, rejected_mask=rejected), cfg)


mistakes: dict[str, Callable[[PairLogps, Config], Tensor]] = {
    "1 swapped pair": _swapped,
    "2 mean over tokens": _mean_over_tokens,
    "3 prompt or padding counted": _mask_ignored,
    "4 gradient through the reference": _through_reference,
    "5 no beta": _no_beta,
    "6 no reference": _no_reference,
    "7 end of sequence left out": _end_left_out,
}
