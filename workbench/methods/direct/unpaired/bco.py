"""Binary classifier optimisation: log-ratios as the logit of thumbs up or down.

Objective:
    thumb up: L = −log σ(s − δ); thumb down: L = −log σ(δ − s),
    s = β·log π(y)/π_ref(y), a sum over tokens; δ = β·(mean log-ratio of the batch), a
    constant, or 0.

Compared with KTO:
    the logarithm of the sigmoid instead of the sigmoid, a convex loss with a finite
    minimiser; the reference point is the mean of the responses themselves.

Valid only if:
    δ is a constant. The published δ is a running mean over training; a loss is a pure
    function of its batch, so ours is the mean of the batch (of each seed): noisier, and
    it does not lag behind. Public code averages thumbs up and down together, as here;
    where there are more of one, the weights of the data set decide. Thumbs on prompts
    of two kinds want the published density-ratio weight, which is not here.

Minimiser:
    s − δ = log(q/(1 − q)) where a response is good with chance q, at fixed δ. On a pair
    the sum of both is at least the loss of DPO for every δ. Derived here: it is least
    at δ = (s_c + s_r)/2, where it is 2 log(1 + e^{−βD/2}); checked on a grid.

Known mistakes:
    (1) thumbs swapped.
    (2) no δ: TRL's ``bco_pair`` (``centred=False`` asks for it).
    (3) a gradient through δ: the values agree, the training does not.
    (4) δ not multiplied by β: nats subtracted from reward units.
    (5) δ from mismatched responses: KTO's reference point.
    (6) a mean over tokens.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.thumbs import ThumbLogps
from workbench.loops import offline

card = Card(
    key="bco",
    title="Binary classifier optimisation",
    parents=("kto",),
    needs=("thumbs", "reference"),
    paper="Jung et al. 2024 (2404.04656)",
    check="s − δ ends at the log-odds of a thumb up; on a pair it is above DPO.",
    claim="Training the classifier lowers the loss of DPO; δ tightens the bound.",
    notebook="22",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of BCO.

    Attributes:
        beta: reward units per nat.
        centred: subtract δ, the mean of s over the batch.
    """

    beta: float = 0.1  # from memory of the paper; some runs use 0.01
    centred: bool = True  # paper; False is TRL 1.16's bco_pair


def loss(batch: ThumbLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(±(s − δ)) of each response, in nats."""
    shift = batch.reference_mean.detach() if cfg.centred else 0.0
    return _value(cfg.beta * (batch.logratio() - shift), batch.up)


def _value(logit: Tensor, up: Tensor) -> Tensor:
    return -logsigmoid(torch.where(up, logit, -logit))


def _through_mean(batch: ThumbLogps, cfg: Config) -> Tensor:
    return _value(cfg.beta * (batch.logratio() - batch.reference_mean), batch.up)


def _shift_without_beta(batch: ThumbLogps, cfg: Config) -> Tensor:
    shift = batch.reference_mean.detach() if cfg.centred else 0.0
    return _value(cfg.beta * batch.logratio() - shift, batch.up)


mistakes = {
    "1 thumbs swapped": edits.swapped(loss),
    "2 no shift": edits.with_config(loss, centred=False),
    "3 gradient through the shift": _through_mean,
    "4 shift without beta": _shift_without_beta,
    "5 shift of mismatched responses": edits.with_batch(
        loss, reference_mean=lambda batch: batch.reference_point
    ),
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
