"""PRO: a ranking of mean log-probs, sharpened by reward gaps, and SFT on the best.

Objective:
    p = log π(y)/|y|, the mean over response tokens. T_ki = r_k − r_i for the responses
    i below k, T_kk = max_i T_ki = r_k − min r;
    L = Σ_k [log(e^{T_kk p_k} + Σ_{r_i < r_k} e^{T_ki p_i}) − T_kk p_k]
        + w (n − 1)² (−log π(y_best)), the last log-prob a SUM over tokens.
    A sum over ranks, not a mean; the last rank adds 0.

Compared with LIST_MLE:
    no reference, means over tokens, and every logit is multiplied by a reward gap
    (the paper's inverse temperature); an NLL is added.

Valid only if:
    all responses of a list answer the same prompt; scores are on the scale on which
    gaps are to act. The batch holds the scores in no order: they are ranked here, and
    equal scores are not compared (the official code sorts outside and counts an equal
    response as e^0 = 1 in the denominator). The best share a tie.

Minimiser:
    n = 2, w = 0: that of SimPO with β = r_1 − r_2 and γ = 0 for each pair. Fixed ranks
    have their infimum at p of the worse at −∞; the NLL does not stop that fall.

Known mistakes:
    (1) sums over tokens in the ranking: short responses win.
    (2) the mean of the NLL over tokens: its weight falls with length.
    (3) the first of the list taken for the best, the next for the second.
    (4) the smallest gap for the own logit: the paper's own temperature is the smallest,
        so its inverse is the largest gap.
    (5) w without (n − 1)².
    (6) divided by the gaps: temperatures, not their inverses.
    (7) the order reversed: negative gaps.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits, rankings
from workbench.core.card import Card
from workbench.core.pairwise_sums import differences
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="pro",
    title="Preference ranking optimisation",
    parents=("list_mle", "simpo", "sft"),
    needs=("lists", "reward"),
    paper="Song et al. 2023 (2306.17492)",
    check="n = 2 is SimPO with β = r_1 − r_2; at T = 1 it is Plackett–Luce.",
    claim="Longer rankings help, and better responses in them help most.",
    notebook="28a",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config:
    """Settings of PRO.

    Attributes:
        sft: weight w of the NLL, multiplied by (n − 1)².
        sharpness: what multiplies mean log-probs, reward gaps or 1.
    """

    sft: float = 0.05  # official code
    sharpness: Literal["gaps", "one"] = "gaps"  # official code; the static form is 1


def gaps(batch: ListLogps) -> Float[Tensor, "batch group group"]:
    """T_ki = r_k − r_i, with max_i T_ki at k = i, reward units; a constant."""
    apart = differences(batch.scores.detach())
    own = torch.diag_embed(apart.amax(-1))  # the diagonal of ``apart`` is 0
    return apart + own


def ranking(batch: ListLogps, sharp: Tensor) -> Float[Tensor, " batch"]:
    """−log of the chance of the ranking under mean log-probs times ``sharp``, nats."""
    logits = sharp * batch.logps("mean")[:, None, :]
    return rankings.pick_nlls(logits, batch.scores).sum(-1)


def best_nll(batch: ListLogps) -> Float[Tensor, " batch"]:
    """−log π of the best response, the mean of them in a tie, in nats."""
    best = (batch.scores == batch.scores.amax(-1, keepdim=True)).to(batch.policy)
    return -(best * batch.logps()).sum(-1) / best.sum(-1)


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Mean log-prob of a token, what PRO ranks by, in nats per token."""
    return responses.logps("mean")


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """The ranking's NLL plus w (n − 1)² times the NLL of the best, in nats."""
    sharp = gaps(batch) if cfg.sharpness == "gaps" else torch.ones_like(gaps(batch))
    return ranking(batch, sharp) + _anchor(batch, cfg)


def _anchor(batch: ListLogps, cfg: Config) -> Tensor:
    return cfg.sft * (batch.scores.shape[-1] - 1) ** 2 * best_nll(batch)


def _sums(batch: ListLogps, cfg: Config) -> Tensor:
    return ranking(edits.summed(batch), gaps(batch)) + _anchor(batch, cfg)


def _mean_nll(batch: ListLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) - _anchor(batch, cfg) + _anchor(edits.averaged(batch), cfg)


def _place_as_rank(batch: ListLogps, cfg: Config) -> Tensor:
    place = torch.arange(batch.scores.shape[-1]).expand_as(batch.scores)
    ranked = replace(batch, scores=-place.to(batch.scores))
    return ranking(ranked, gaps(batch)) + _anchor(ranked, cfg)


def _smallest_gap(batch: ListLogps, cfg: Config) -> Tensor:
    apart = differences(batch.scores)
    below = torch.where(apart > 0, apart, torch.inf).amin(-1)
    own = torch.where(below.isinf(), 0.0, below)
    return ranking(batch, apart + torch.diag_embed(own)) + _anchor(batch, cfg)


def _no_square(batch: ListLogps, cfg: Config) -> Tensor:
    return loss(batch, replace(cfg, sft=0.0)) + cfg.sft * best_nll(batch)


def _divided(batch: ListLogps, cfg: Config) -> Tensor:
    gap = gaps(batch)
    inverse = torch.where(gap == 0, 0.0, 1 / torch.where(gap == 0, 1.0, gap))
    return ranking(batch, inverse) + _anchor(batch, cfg)


mistakes = {
    "1 sums in the ranking": _sums,
    "2 mean of the NLL": _mean_nll,
    "3 place taken for the rank": _place_as_rank,
    "4 smallest gap for the own logit": _smallest_gap,
    "5 no square of n": _no_square,
    "6 divided by gaps": _divided,
    "7 order reversed": edits.swapped(loss),
}
