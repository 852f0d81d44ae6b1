"""A-LoL with a weight for each token: a clipped ratio at every step of the sequence.

Objective:
    L = −A Σ_t sg[clip(π(y_t|s_t)/π_ref(y_t|s_t), 1 − ε, 1 + ε)] log π(y_t|s_t),
    A = max(0, r(x, y) − V(x)) of the whole response.

Compared with A_LOL:
    each token is clipped by itself, where A-LoL clips the ratio of the response, their
    product. Responses of one token give the same loss.

Valid only if:
    responses come from π_ref; V is its value at the prompt.

Fixed point:
    Derived here, for y ~ π_ref. With Q(s, a) = E_ref[A | s, a], the unclipped expected
    gradient is −∇Σ_s π_ref(s) Σ_a π(a|s) Q(s, a): the token weight corrects the action
    and not the way there, so π ends greedy in Q of the reference, one step of policy
    iteration, and not on argmax A. With the clip the fixed point is that of R-LoL at
    every prefix, with Q for r. Both checked.

Known mistakes:
    (1) the ratio of the whole response, clipped, at every token: A-LoL.
    (2) a gradient through the weights.
    (3) PPO's clip: no gradient outside 1 ± ε.
    (4) negative advantages kept.
    (5) the ratio of the response so far: the product of the tokens' ratios.
    (6) the sign.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import sequence_logps
from workbench.core.surrogate import clipped_gain, clipped_weight, importance_ratio
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.loops import offline
from workbench.methods.direct.weighted import a_lol

card = Card(
    key="a_lol_seq",
    title="A-LoL with token weights",
    parents=("a_lol",),
    needs=("responses", "reward", "reference", "value head"),
    paper="Baheti et al. 2023 (2305.14718)",
    check="On y ~ π_ref its gradient is that of one-step improvement on the reference.",
    claim="Of the variants of A-LoL it has the highest reward and diversity.",
    notebook="80a",
    loop=offline,
)

Config = a_lol.Config


def weighted_logps(batch: ScoredLogps, clip: float) -> Float[Tensor, " batch"]:
    """Σ_t sg[clip(π_t/π_ref,t, 1 ± ε)] log π_t, one weight per token."""
    weight = clipped_weight(batch.policy - batch.ref, clip)
    return sequence_logps(weight * batch.policy, batch.mask)


def loss(batch: ScoredLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−A Σ_t w_t log π_t of each response."""
    return -batch.advantage * weighted_logps(batch, cfg.clip)


def _through_weight(batch: ScoredLogps, cfg: Config) -> Tensor:
    ratio = importance_ratio(batch.policy, batch.ref)
    weighted = ratio.clamp(1 - cfg.clip, 1 + cfg.clip) * batch.policy
    return -batch.advantage * sequence_logps(weighted, batch.mask)


def _clip_of_ppo(batch: ScoredLogps, cfg: Config) -> Tensor:
    ratio = importance_ratio(batch.policy, batch.ref)
    gain = clipped_gain(ratio, batch.advantage[:, None].expand_as(ratio), cfg.clip)
    return -sequence_logps(gain, batch.mask)


def _negative_kept(batch: ScoredLogps, cfg: Config) -> Tensor:
    advantage = (batch.scores - batch.baseline).detach()
    return -advantage * weighted_logps(batch, cfg.clip)


def _so_far(batch: ScoredLogps, cfg: Config) -> Tensor:
    gap = torch.where(batch.mask, batch.policy - batch.ref, 0.0).cumsum(-1)
    weighted = clipped_weight(gap, cfg.clip) * batch.policy
    return -batch.advantage * sequence_logps(weighted, batch.mask)


mistakes = {
    "1 ratio of the whole response": a_lol.loss,
    "2 gradient through the weights": _through_weight,
    "3 clip of PPO": _clip_of_ppo,
    "4 negative advantages kept": _negative_kept,
    "5 ratio of the response so far": _so_far,
    "6 wrong sign": edits.wrong_sign(loss),
}
