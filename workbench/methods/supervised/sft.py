"""Supervised fine-tuning: make the demonstrated responses likely.

Objective:
    L = −log π(y|x) = −Σ_t log π(y_t | x, y_<t) over response tokens, the end included.

Compared with maximum likelihood of a language model:
    the prompt is read but not predicted; nothing else changes.

Valid only if:
    the responses are answers one wants; SFT copies the mistakes of the author too.

Minimiser:
    the distribution of the data, π(y|x) = p_data(y|x), for ``reduce="sum"``. One mean
    over all tokens of a batch (TRL) is the same gradient divided by the batch's token
    count. A mean per response (``reduce="mean"``) is another method: its minimiser is
    p_data(y|x) / |y|, normalised, so it writes shorter than its data.

Known mistakes:
    (1) prompt or padding tokens counted: the mask ignored.
    (2) the end of sequence left out: the policy never learns to stop.
    (3) a mean over each response's own tokens, where nats per response are meant.
    (4) the sign: the data become unlikely.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import Reduce
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="sft",
    title="Supervised fine-tuning",
    parents=(),
    needs=("responses",),
    paper="Ouyang et al. 2022 (2203.02155)",
    check="The population minimiser is the data distribution over all responses.",
    claim="SFT on chosen responses raises the log-probability of rejected ones too.",
    notebook="03",
    loop=offline,
)


@dataclass(frozen=True)
class Config:
    """Settings of SFT.

    Attributes:
        reduce: ``"sum"`` is nats per response, ``"mean"`` nats per token of it.
    """

    reduce: Reduce = "sum"  # ours: ends at the data's distribution; TRL: see Minimiser


def loss(batch: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log π(y|x) of each response, in nats."""
    return -batch.logps(cfg.reduce)


mistakes = {
    "1 prompt or padding counted": edits.mask_ignored(loss),
    "2 end of sequence left out": edits.end_left_out(loss),
    "3 mean over tokens": edits.with_config(loss, reduce="mean"),
    "4 wrong sign": edits.wrong_sign(loss),
}
