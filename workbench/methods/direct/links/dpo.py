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

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
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


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 mean over tokens": edits.mean_over_tokens(loss),
    "3 prompt or padding counted": edits.mask_ignored(loss),
    "4 gradient through the reference": edits.through_reference(loss),
    "5 no beta": edits.with_config(loss, beta=1.0),
    "6 no reference": edits.no_reference(loss),
    "7 end of sequence left out": edits.end_left_out(loss),
}
