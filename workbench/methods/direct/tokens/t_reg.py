"""T-REG: token rewards of the model itself say which tokens carry the preference.

Objective:
    L = −log σ(β·D) + α·w·(Reg(y_c) + Reg(y_r)),  w = sg[σ(−β·D)],
    Reg(y) = −Σ_t β·r_t·log π(y_t|s_t),
    r_t = σ(log p(y_t|better) − log p(y_t|worse)) − 1/2, from two prompts put to one
    model that stays as it is; a constant between −1/2 and 1/2.

Compared with DPO:
    each token of y_c is pushed up with 1 + α·r_t in place of 1, each of y_r down with
    1 − α·r_t: the gradient is −βw[Σ_c (1 + αr_t)∇log π − Σ_r (1 − αr_t)∇log π].

Valid only if:
    that of DPO; token rewards are constants, and worth something: they shift credit
    between tokens whether they are right or not. That w is detached is our reading.

Fixed point:
    that of DPO for α = 0 or r_t = 0. Else not π*_β: there the gradient that remains is
    that of −2αβ Σ_y c(y) Σ_t r_t log π(y_t|s_t), c(y) = Σ_j w_jy p(1 − p) over the
    pairs of y. Derived here; tokens with r_t > 0 gain from chosen AND rejected ones.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) token rewards of y_r with a minus: its good tokens are pushed down.
    (3) w left out: the push never ends, on pairs long learned too.
    (4) a gradient through w.
    (5) a gradient through the token rewards.
    (6) α forgotten.
    (7) prompt or padding tokens rewarded: the mask ignored.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.token_pairs import PairTokenRewards
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="t_reg",
    title="Token-level reward regularisation",
    parents=("dpo",),
    needs=("pairs", "reference", "token rewards"),
    paper="Zhou et al. 2024 (2412.02685)",
    check="The gradient is that of DPO with token weights 1 + αr_t and 1 − αr_t.",
    claim="Right token rewards bring implicit rewards of tokens to the truth sooner.",
    notebook="29a",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of T-REG.

    Attributes:
        beta: reward units per nat.
        alpha: how much a token's reward changes its push, a pure number; 0 is DPO.
    """

    alpha: float = 0.25  # at second hand: the paper's are 0.1, 0.25 and 0.5


def token_rewards(
    better: Float[Tensor, "*shape"], worse: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """r_t = σ(log p(y_t|better) − log p(y_t|worse)) − 1/2, one per token.

    Args:
        better: token log-probs under the prompt for a better answer, nats.
        worse: the same tokens under the prompt for a worse one.
    """
    return (better - worse).detach().sigmoid() - 0.5


def rewarded(batch: PairTokenRewards) -> Float[Tensor, " batch"]:
    """Σ_t r_t log π(y_t|s_t) over both responses of each pair, in nats."""
    chosen = batch.reward_chosen.detach() * batch.policy_chosen
    rejected = batch.reward_rejected.detach() * batch.policy_rejected
    first = sequence_logps(chosen, batch.chosen_mask)
    return first + sequence_logps(rejected, batch.rejected_mask)


def loss(batch: PairTokenRewards, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(βD) − α·sg[βσ(−βD)]·Σ r_t log π over both responses of each pair."""
    push = cfg.alpha * dpo.weight(batch.margin(), cfg).detach()
    return dpo.loss(batch, cfg) - push * rewarded(batch)


def _unweighted(batch: PairTokenRewards, cfg: Config) -> Tensor:
    return dpo.loss(batch, cfg) - cfg.alpha * cfg.beta * rewarded(batch)


def _through_weight(batch: PairTokenRewards, cfg: Config) -> Tensor:
    push = cfg.alpha * dpo.weight(batch.margin(), cfg)
    return dpo.loss(batch, cfg) - push * rewarded(batch)


def _through_rewards(batch: PairTokenRewards, cfg: Config) -> Tensor:
    push = cfg.alpha * dpo.weight(batch.margin(), cfg).detach()
    # nothing in value, and the gradient that the loss stops
    live = batch.reward_chosen - batch.reward_chosen.detach()
    lost = sequence_logps(live * batch.policy_chosen, batch.chosen_mask)
    return loss(batch, cfg) - push * lost


def _mask_ignored(batch: PairTokenRewards, cfg: Config) -> Tensor:
    push = cfg.alpha * dpo.weight(batch.margin(), cfg).detach()
    return dpo.loss(batch, cfg) - push * rewarded(edits.unmasked(batch))


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 token rewards of the rejected with a minus": edits.with_batch(
        loss, reward_rejected=lambda batch: -batch.reward_rejected
    ),
    "3 no pair weight": _unweighted,
    "4 gradient through the pair weight": _through_weight,
    "5 gradient through the token rewards": _through_rewards,
    "6 no alpha": edits.with_config(loss, alpha=1.0),
    "7 prompt or padding rewarded": _mask_ignored,
}
