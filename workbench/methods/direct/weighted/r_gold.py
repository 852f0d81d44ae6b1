"""Reward-GOLD: tokens that the policy already writes count most, down to a floor.

Objective:
    L = −r(x, y) Σ_t sg[max(π(y_t|s_t), u)] log π(y_t|s_t), sums over response tokens.

Compared with WBC:
    each token is weighted by its own probability, held constant and at least u, an
    importance weight π/μ with a uniform μ and few tokens let down. u = 1 is wBC.

Valid only if:
    rewards are positive, as for wBC. The weight is read from the policy that learns, at
    every step.

Fixed point:
    Derived here: the gradient is that of −Σ_t r g(π_t), with g(p) = u log p below u and
    p above it, less a constant: concave, and linear above the floor. For responses from
    a distribution μ it falls apart into prefixes. With w(s, a) = Σ μ(y) r(y) over the
    responses through s and a, and m the largest w at s: where m is less than u of their
    sum, as wBC, π ∝ w; elsewhere π(a|s) = u w/m and the best token takes all the rest.
    Checked by a zero gradient there; u → 0 is greedy in w.

Known mistakes:
    (1) a gradient through the weight.
    (2) the floor as a ceiling: min(π_t, u).
    (3) one weight for the response, max(π(y), u).
    (4) the floor left out.
    (5) the sign.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.loops import offline

card = Card(
    key="r_gold",
    title="Reward-GOLD",
    parents=("wbc",),
    needs=("responses", "reward"),
    paper="Pang and He 2021 (2009.07839); Baheti et al. 2023 (2305.14718)",
    check="u = 1 is wBC; at u the gradient is 0 where the best token takes the rest.",
    claim="With low-reward responses mixed in, it loses reward and A-LoL does not.",
    notebook="28c",
    loop=offline,
)


@dataclass(frozen=True)
class Config:
    """Settings of reward-GOLD.

    Attributes:
        floor: u, the least weight of a token, a probability.
    """

    floor: float = 0.1  # LoL-RL, the authors' code


def loss(batch: ScoredLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−r Σ_t sg[max(π_t, u)] log π_t of each response."""
    weight = batch.policy.detach().exp().clamp(min=cfg.floor)
    return -batch.scores * sequence_logps(weight * batch.policy, batch.mask)


def _through_weight(batch: ScoredLogps, cfg: Config) -> Tensor:
    weight = batch.policy.exp().clamp(min=cfg.floor)
    return -batch.scores * sequence_logps(weight * batch.policy, batch.mask)


def _ceiling(batch: ScoredLogps, cfg: Config) -> Tensor:
    weight = batch.policy.detach().exp().clamp(max=cfg.floor)
    return -batch.scores * sequence_logps(weight * batch.policy, batch.mask)


def _whole_response(batch: ScoredLogps, cfg: Config) -> Tensor:
    weight = batch.logps().detach().exp().clamp(min=cfg.floor)
    return -batch.scores * weight * batch.logps()


mistakes = {
    "1 gradient through the weight": _through_weight,
    "2 floor as a ceiling": _ceiling,
    "3 one weight for the response": _whole_response,
    "4 no floor": edits.with_config(loss, floor=0.0),
    "5 wrong sign": edits.wrong_sign(loss),
}
