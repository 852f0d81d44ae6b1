"""Length-normalised DPO: the implicit reward is a mean over tokens.

Objective:
    L = −log σ(β·(d(y_c)/|y_c| − d(y_r)/|y_r|)),  d(y) = log π(y|x)/π_ref(y|x) summed
    over response tokens.

Compared with DPO:
    each log-ratio is divided by the tokens of its own response; β is then reward units
    per (nat per token), so it is about |y| times that of DPO.

Valid only if:
    both responses answer the same prompt; |y| counts response tokens, the end of
    sequence included.

Minimiser:
    Bradley–Terry labels of reward r: π(y) = π_ref(y)·exp(|y|·(r(y) + c)/β) with the c
    that makes it sum to 1. Derived here: the labels fix β d(y)/|y| up to one constant;
    checked by the gradient over an enumerated world. It is not π*_β of any β: the same
    reward tilts a long response more. Over responses of one length T it is π*_{β/T}.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) sums over tokens: DPO, at a β about |y| times too large.
    (3) D divided by one length, that of the chosen response.
    (4) |y| counts columns, prompt and padding included.
    (5) a gradient through the reference: the values agree, the training does not.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="ln_dpo",
    title="Length-normalised DPO",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Lambert et al. 2024 (2411.15124)",
    check="The population minimiser is ref·exp(|y|(r + c)/β), summing to 1.",
    claim="Under a length bonus of the annotator its responses grow less than DPO's.",
    notebook="25",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of length-normalised DPO.

    Attributes:
        beta: reward units per (nat per token).
    """

    beta: float = 5.0  # Tülu 3's training scripts; TRL leaves DPO's 0.1


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """β·d(y)/|y|, the implicit reward, reward units."""
    return cfg.beta * responses.logratio("mean")


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·D) of each pair, D a difference of nats per token."""
    return dpo.link(batch.margin("mean"), cfg)


def _one_length(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.link(batch.margin() / batch.chosen_mask.sum(-1), cfg)


def _columns_counted(batch: PairLogps, cfg: Config) -> Tensor:
    return dpo.link(batch.margin() / batch.chosen_mask.shape[-1], cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 sums over tokens": dpo.loss,
    "3 one length for both": _one_length,
    "4 columns counted": _columns_counted,
    "5 gradient through the reference": edits.through_reference(loss),
}
