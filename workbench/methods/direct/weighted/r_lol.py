"""Reward-LoL: off-policy policy gradient with one clipped weight for each response.

Objective:
    L = −r(x, y) w log π(y|x),  w = sg[clip(π(y|x)/π_ref(y|x), 1 − ε, 1 + ε)],
    with log-probabilities and their ratio summed over response tokens.

Compared with WBC:
    the response is an action drawn from π_ref, and w its importance weight. ε = 0 is
    wBC.

Valid only if:
    responses come from π_ref, or w is no importance weight; rewards are positive, or
    responses are pushed down without end.

Fixed point:
    Unclipped and y ~ π_ref: the expected gradient is −∇E_π[r], so π ends on argmax r;
    nothing holds it. With the clip, derived here: the gradient is that of
    −E_ref[r G(u)], u = π/π_ref, G′ = clip(u, 1 ± ε)/u, and G is concave. Hence one
    fixed point, a minimum: u = (1 − ε) r/C for r < C and (1 + ε) r/C for r > C, C such
    that Σ π = 1; a response with r = C may lie between. No u exceeds (1 + ε) r/C.
    Checked by a zero gradient there.

Known mistakes:
    (1) a gradient through the weight: log π is then multiplied by its own change.
    (2) PPO's clip: no gradient outside 1 ± ε.
    (3) the weight upside down, π_ref/π.
    (4) no clip.
    (5) the weight of a mean over tokens: the geometric mean of the token ratios.
    (6) the sign.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.surrogate import clipped_gain, clipped_weight
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.loops import offline

card = Card(
    key="r_lol",
    title="Reward-LoL",
    parents=("wbc",),
    needs=("responses", "reward", "reference"),
    paper="Baheti et al. 2023 (2305.14718)",
    check="Unclipped on y ~ π_ref the gradient is −∇E_π[r]; ε = 0 is wBC.",
    claim="With low-reward responses mixed in, its reward falls below that of A-LoL.",
    notebook="80a",
    loop=offline,
)


@dataclass(frozen=True)
class Config:
    """Settings of reward-LoL and of the variants of A-LoL with a weight.

    Attributes:
        clip: ε; weights lie in 1 ± ε.
    """

    clip: float = 0.9  # LoL-RL, the authors' code: weights from 0.1 to 1.9


def weighted_logps(batch: ScoredLogps, clip: float) -> Float[Tensor, " batch"]:
    """sg[clip(π/π_ref, 1 ± ε)] log π(y|x), one weight for the whole response."""
    return clipped_weight(batch.logratio(), clip) * batch.logps()


def loss(batch: ScoredLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−r w log π(y|x) of each response."""
    return -batch.scores * weighted_logps(batch, cfg.clip)


def _through_weight(batch: ScoredLogps, cfg: Config) -> Tensor:
    ratio = batch.logratio().clamp(max=20).exp().clamp(1 - cfg.clip, 1 + cfg.clip)
    return -batch.scores * ratio * batch.logps()


def _clip_of_ppo(batch: ScoredLogps, cfg: Config) -> Tensor:
    ratio = batch.logratio().clamp(max=20).exp()
    return -clipped_gain(ratio, batch.scores, cfg.clip)


def _upside_down(batch: ScoredLogps, cfg: Config) -> Tensor:
    return -batch.scores * clipped_weight(-batch.logratio(), cfg.clip) * batch.logps()


def _mean_ratio(batch: ScoredLogps, cfg: Config) -> Tensor:
    weight = clipped_weight(batch.logratio("mean"), cfg.clip)
    return -batch.scores * weight * batch.logps()


mistakes = {
    "1 gradient through the weight": _through_weight,
    "2 clip of PPO": _clip_of_ppo,
    "3 weight upside down": _upside_down,
    "4 no clip": edits.with_config(loss, clip=torch.inf),
    "5 weight of a mean over tokens": _mean_ratio,
    "6 wrong sign": edits.wrong_sign(loss),
}
