"""Advantage-leftover-lunch: clone what is better than the reference's average.

Objective:
    L = −A w log π(y|x),  A = max(0, r(x, y) − V(x)),  V(x) = E_ref[r | x],
    w = sg[clip(π(y|x)/π_ref(y|x), 1 − ε, 1 + ε)], one weight for the response.

Compared with R_LOL:
    the positive part of the advantage takes the place of the reward: responses below
    the reference's average are dropped. V = 0 and r > 0 give R-LoL.

Valid only if:
    V is the value of the REFERENCE at the prompt: exact, from a head on its features,
    or the mean of many responses of π_ref to that prompt (what labels give), never a
    mean over prompts; responses come from π_ref, or w is no importance weight.
    Rows drawn in proportion to A (the authors' ``good_priority``) count with A².

Fixed point:
    Unclipped and y ~ π_ref: the expected gradient is −∇E_π[A], so π ends on argmax A;
    there is no KL. With the clip that of R-LoL with A for r: π = 0 where A = 0, and no
    response is raised by more than (1 + ε) A/C.

Known mistakes:
    (1) negative advantages kept: responses are pushed down without end.
    (2) a gradient through the weight.
    (3) PPO's clip: no gradient outside 1 ± ε.
    (4) the baseline left out.
    (5) the weight upside down, π_ref/π.
    (6) the sign: in the authors' code ``log_probs`` are negative log-probs.
"""

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.surrogate import clipped_gain, clipped_weight
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.loops import offline
from workbench.methods.direct.weighted import r_lol

card = Card(
    key="a_lol",
    title="Advantage-leftover-lunch RL",
    parents=("r_lol",),
    needs=("responses", "reward", "reference", "value head"),
    paper="Baheti et al. 2023 (2305.14718)",
    check="Unclipped on y ~ π_ref the expected gradient is −∇E_π[A].",
    claim="With low-reward responses mixed in, it keeps its reward; wBC does not.",
    notebook="28c",
    loop=offline,
)

Config = r_lol.Config


def loss(batch: ScoredLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−A w log π(y|x) of each response."""
    return -batch.advantage * r_lol.weighted_logps(batch, cfg.clip)


def _negative_kept(batch: ScoredLogps, cfg: Config) -> Tensor:
    advantage = batch.scores - batch.baseline
    return -advantage.detach() * r_lol.weighted_logps(batch, cfg.clip)


def _through_weight(batch: ScoredLogps, cfg: Config) -> Tensor:
    ratio = batch.logratio().clamp(max=20).exp().clamp(1 - cfg.clip, 1 + cfg.clip)
    return -batch.advantage * ratio * batch.logps()


def _clip_of_ppo(batch: ScoredLogps, cfg: Config) -> Tensor:
    ratio = batch.logratio().clamp(max=20).exp()
    return -clipped_gain(ratio, batch.advantage, cfg.clip)


def _upside_down(batch: ScoredLogps, cfg: Config) -> Tensor:
    weight = clipped_weight(-batch.logratio(), cfg.clip)
    return -batch.advantage * weight * batch.logps()


mistakes = {
    "1 negative advantages kept": _negative_kept,
    "2 gradient through the weight": _through_weight,
    "3 clip of PPO": _clip_of_ppo,
    "4 no baseline": r_lol.loss,
    "5 weight upside down": _upside_down,
    "6 wrong sign": edits.wrong_sign(loss),
}
