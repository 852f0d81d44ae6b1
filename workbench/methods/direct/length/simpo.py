"""SimPO: the mean log-prob of a token is the reward, and a lead of γ is asked for.

Objective:
    L = −log σ(β·(log π(y_c)/|y_c| − log π(y_r)/|y_r|) − γ).

Compared with CPO:
    means over response tokens replace sums, γ is subtracted, the NLL is left out.

Valid only if:
    both responses answer the same prompt; |y| counts response tokens, the end of
    sequence included. Units: γ in reward units, the gap in nats per token.

Minimiser:
    γ = 0, Bradley–Terry labels of reward r: π(y) = exp(|y|·(r(y) + c)/β) with the c
    that makes it sum to 1; over responses of one length T, π ∝ exp(T·r/β). Derived
    here: the labels fix β log π(y)/|y| up to one constant; checked by the gradient over
    an enumerated world. γ > 0 stretches all margins m = β·gap: under odds q of the
    label m solves q = (1 + e^(m−γ))/(1 + e^(−m−γ)), so |m| > |log q| unless q = 1; no
    policy meets all pairs in general. With hard labels m goes to ∞ for every γ.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) sums over tokens: CPO without NLL.
    (3) γ inside the bracket of β: the official code takes γ/β, TRL γ.
    (4) γ added: a pair may lose by γ and count as won.
    (5) both sums divided by one length, that of the chosen response.
    (6) the reference kept: length-normalised DPO with a target.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.links import cpo

card = Card(
    key="simpo",
    title="SimPO",
    parents=("cpo",),
    needs=("pairs",),
    paper="Meng, Xia & Chen 2024 (2405.14734)",
    check="With γ = 0 the population minimiser is exp(|y|(r + c)/β), summing to 1.",
    claim="Its margin follows the likelihood of generation; DPO's follows length.",
    notebook="25a",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config:
    """Settings of SimPO.

    Attributes:
        beta: reward units per (nat per token).
        gamma: lead that a chosen response must have, reward units.
    """

    beta: float = 2.0  # official README, Mistral-base; TRL's 0.1 is DPO's
    gamma: float = 1.6  # official README, Mistral-base: γ/β = 0.8


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """β·log π(y)/|y|, the implicit reward, reward units."""
    return cfg.beta * responses.logps("mean")


def gap(batch: PairLogps) -> Float[Tensor, " batch"]:
    """log π(y_c)/|y_c| − log π(y_r)/|y_r|, in nats per token."""
    return batch.chosen.logps("mean") - batch.rejected.logps("mean")


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·gap − γ) of each pair, in nats."""
    return -logsigmoid(cfg.beta * gap(batch) - cfg.gamma)


def _one_length(batch: PairLogps, cfg: Config) -> Tensor:
    per_token = cpo.gap(batch) / batch.chosen_mask.sum(-1)
    return -logsigmoid(cfg.beta * per_token - cfg.gamma)


def _reference_kept(batch: PairLogps, cfg: Config) -> Tensor:
    return -logsigmoid(cfg.beta * batch.margin("mean") - cfg.gamma)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 sums over tokens": edits.sum_over_tokens(loss),
    "3 gamma times beta": edits.with_config(
        loss, gamma=lambda cfg: cfg.beta * cfg.gamma
    ),
    "4 gamma added": edits.with_config(loss, gamma=lambda cfg: -cfg.gamma),
    "5 one length for both": _one_length,
    "6 reference kept": _reference_kept,
}
