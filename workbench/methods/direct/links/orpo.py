"""ORPO: imitate the chosen response and raise its odds over the rejected one.

Objective:
    L = −a_c + λ·(−log σ(o_c − o_r)),  a = log π(y)/|y|,  o = a − log(1 − e^a),
    o the log odds of the geometric-mean token probability p = e^a.

Compared with SFT:
    the odds-ratio term is added, and the NLL is nats per token. The odds-ratio term is
    SimPO at β = 1, γ = 0 with log odds in place of log p; they agree as p → 0.

Valid only if:
    both responses answer the same prompt; training starts at a base model, with no
    reference and no SFT before. The NLL here is the mean over the tokens of a response,
    one value per example. The official code (by default) and TRL count the tokens of
    the prompt too, and take one mean over the tokens of a batch: the prompt is learnt,
    and example i weighs by its tokens.

Minimiser:
    of the odds term under Bradley–Terry labels of reward r: π(y) = σ(r(y) + c)^|y| with
    the c that makes it sum to 1. Derived here: the labels fix o(y) up to one constant,
    and p = σ(o). The NLL alone ends at p_c(y)/|y|, normalised, for chosen responses
    drawn from p_c; where both distributions agree λ changes nothing. Both are checked
    by the gradient over an enumerated world.

Known mistakes:
    (1) chosen and rejected swapped in the odds ratio.
    (2) odds of the whole sequence: e^(log π(y)) in place of its mean.
    (3) the sign: TRL holds λ log σ and subtracts it.
    (4) a ratio of probabilities, without log(1 − e^a): SimPO's gap.
    (5) log(1 − e^a) added.
    (6) the NLL of the whole sequence: |y| times its weight.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.length import simpo

card = Card(
    key="orpo",
    title="Odds ratio preference optimisation",
    parents=("sft", "simpo"),
    needs=("pairs",),
    paper="Hong, Lee & Thorne 2024 (2403.07691)",
    check="The odds term ends at σ(r + c)^|y|, summing to 1.",
    claim="One stage separates rejected from chosen; SFT on chosen raises both.",
    notebook="25a",
    loop=offline,
    hooks=("implicit_reward",),
)
SURE = 1e-9  # nats per token; see log_odds


@dataclass(frozen=True)
class Config:
    """Settings of ORPO.

    Attributes:
        lam: weight of the odds-ratio term.
    """

    lam: float = 0.1  # TRL 1.16, where it is called beta


def log_odds(mean: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """log(p/(1 − p)) for mean = log p in nats per token; its slope is 1/(1 − p).

    At p = 1 both are infinite. Every mean is lowered by 1e-9 nats: the odds end at 1e9,
    and the gradient keeps its direction, which a clamp would not.
    """
    mean = mean - SURE
    return mean - torch.log(-torch.expm1(mean))


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """The log-odds of y, which stand where DPO has the implicit reward."""
    return log_odds(responses.logps("mean"))


def log_odds_ratio(batch: PairLogps) -> Float[Tensor, " batch"]:
    """Log odds of the chosen minus those of the rejected response, in nats."""
    return log_odds(batch.chosen.logps("mean")) - log_odds(batch.rejected.logps("mean"))


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """NLL of the chosen one, nats per token, plus −λ log σ of the log odds ratio."""
    return -batch.chosen.logps("mean") - cfg.lam * logsigmoid(log_odds_ratio(batch))


def _with(ratio: Callable[[PairLogps], Tensor]) -> edits.Loss:
    def wrong(batch: PairLogps, cfg: Config) -> Tensor:
        return -batch.chosen.logps("mean") - cfg.lam * logsigmoid(ratio(batch))

    return wrong


def _nll_of_sums(batch: PairLogps, cfg: Config) -> Tensor:
    return -batch.chosen.logps() - cfg.lam * logsigmoid(log_odds_ratio(batch))


mistakes = {
    "1 swapped pair": _with(lambda batch: -log_odds_ratio(batch)),
    "2 odds of the sequence": _with(lambda batch: log_odds_ratio(edits.summed(batch))),
    "3 sign of the odds term": edits.with_config(loss, lam=lambda cfg: -cfg.lam),
    "4 ratio of probabilities": _with(simpo.gap),
    "5 complement added": _with(
        lambda batch: 2 * simpo.gap(batch) - log_odds_ratio(batch)  # a + log(1 − e^a)
    ),
    "6 NLL of sums": _nll_of_sums,
}
