"""Bradley–Terry reward model: scores whose differences explain the choices.

Objective:
    L = −log σ(r(x, y_chosen) − r(x, y_rejected) − m), with margin m = 0.

Compared with logistic regression:
    the logit is a difference of two scores of one model, so nothing but the difference
    is ever observed.

Valid only if:
    both responses answer the same prompt; the score is read at the last real token;
    annotators choose with log-odds r_chosen − r_rejected. Scores of different prompts
    must never be compared: only differences within a prompt are identified.

Minimiser:
    for labels P(i ≻ j) = σ(r*_i − r*_j) and a connected graph of comparisons, r* + f(x)
    for any f: π*_β is the same for all of them. No scores explain a cycle.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) log(σ(·) + 1e-5): the loss and its gradient stop at confident errors.
    (3) the margin added to the difference, so that a small lead is enough.
    (4) each score judged alone, against 0: shifts with f(x).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pair_scores import PairScores
from workbench.loops import reward

card = Card(
    key="bt",
    title="Bradley–Terry reward model",
    parents=(),
    needs=("pairs",),
    paper="Bradley & Terry 1952; Ouyang et al. 2022 (2203.02155)",
    check="Under Bradley–Terry labels the minimiser is the reward, up to f(x).",
    claim="Held-out accuracy saturates in an epoch while the scores keep growing.",
    notebook="10",
    loop=reward,
)


@dataclass(frozen=True)
class Config:
    """Settings of the reward model.

    Attributes:
        margin: lead the chosen score must have, reward units.
    """

    margin: float = 0.0  # Ouyang et al. 2022, Eq. 1; Llama 2 (2307.09288) sets it


def loss(batch: PairScores, cfg: Config) -> Float[Tensor, " batch"]:
    """−log P(chosen ≻ rejected) of each pair, in nats."""
    return -logsigmoid(batch.chosen - batch.rejected - cfg.margin)


def _log_of_sigmoid(batch: PairScores, cfg: Config) -> Tensor:
    lead = batch.chosen - batch.rejected - cfg.margin
    return -torch.log(lead.sigmoid() + 1e-5)  # MOSS-RLHF, rm/reward_trainer.py


def _judged_alone(batch: PairScores, cfg: Config) -> Tensor:
    good = logsigmoid(batch.chosen - cfg.margin)
    return -good - logsigmoid(-batch.rejected)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 log of sigmoid plus 1e-5": _log_of_sigmoid,
    "3 margin with the wrong sign": edits.with_config(
        loss, margin=lambda cfg: -cfg.margin
    ),
    "4 each score judged alone": _judged_alone,
}
