"""Anchored DPO: a list's target against a softmax of log-ratios to an anchor.

Objective:
    L = KL(q‖softmax(u)),  q = softmax(A/β_r),  u = (log π(y) − log π_anchor(y))/τ,
    over the K responses of a list; sums over response tokens, A the scores.

Compared with INFONCA:
    the entropy of the target is taken off, so that 0 is the least value; 1/τ plays β's
    part. The reference of the batch is called an anchor: a frozen model, a teacher, or
    the policy of a while ago. Fixed or moving is a schedule, and no matter of the loss.

Valid only if:
    all responses of a list answer one prompt; the anchor and τ get no gradient.
    Centring A over the list changes nothing. Dividing it by the list's standard
    deviation changes β_r from list to list, and is 0/0 in a list of equal scores.

Minimiser:
    π ∝ π_anchor exp(τA/β_r), where every list costs 0. The Hessian in the log-probs is
    there (diag q − qqᵀ)/τ²: the curvature that the paper calls a trust region. Over all
    responses with a uniform anchor and τ = 1, L is KL(q‖π): likelihood for a one-hot q,
    distillation for a teacher's q.

Known mistakes:
    (1) τ multiplied into the log-ratio, as β is.
    (2) no anchor.
    (3) a gradient through the anchor: the values agree, the training does not.
    (4) the advantage negated.
    (5) advantages divided by their standard deviation, unguarded.
    (6) the KL turned round: EXO.
    (7) a mean over tokens (later versions of the authors' code).
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits, softmax_targets
from workbench.core.card import Card
from workbench.core.kl import categorical_kl
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="adpo",
    title="Anchored direct preference optimisation",
    parents=("infonca",),
    needs=("lists", "reward", "reference"),
    paper="Wang 2025 (2510.18913)",
    check="0 iff d = (τ/β_r)A + c; Hessian (diag q − qqᵀ)/τ²; K = 2 hard is DPO.",
    claim="With noisy labels an anchored soft list keeps more mass on the best.",
    notebook="28a",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config:
    """Settings of ADPO.

    Attributes:
        tau: nats of log-ratio per unit of the logits; 1/β of DPO.
        beta_r: divides the scores, reward units.
    """

    tau: float = 0.8  # authors' first code, there adaptive; later 0.5
    beta_r: float = 0.5  # authors' first code; later 0.3


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """(β_r/τ)·log π/π_anchor, reward units: the optimum read backwards."""
    return cfg.beta_r / cfg.tau * responses.logratio()


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """KL of the target from the softmax of anchored log-ratios, per list, in nats."""
    return _forward(batch.logratio() / cfg.tau, batch.scores, cfg)


def _forward(logits: Tensor, scores: Tensor, cfg: Config) -> Tensor:
    target = softmax_targets.log_targets(scores, cfg.beta_r)
    return categorical_kl(target, logits.log_softmax(-1))


def _standardised(batch: ListLogps, cfg: Config) -> Tensor:
    centred = batch.scores - batch.scores.mean(-1, keepdim=True)
    scaled = centred / batch.scores.std(-1, keepdim=True)
    return loss(replace(batch, scores=scaled), cfg)


def _turned_round(batch: ListLogps, cfg: Config) -> Tensor:
    log_q = (batch.logratio() / cfg.tau).log_softmax(-1)
    return categorical_kl(log_q, softmax_targets.log_targets(batch.scores, cfg.beta_r))


mistakes = {
    "1 tau multiplied": edits.with_config(loss, tau=lambda cfg: 1 / cfg.tau),
    "2 no anchor": edits.no_reference(loss),
    "3 gradient through the anchor": edits.through_reference(loss),
    "4 advantage negated": edits.swapped(loss),
    "5 divided by the standard deviation": _standardised,
    "6 KL turned round": _turned_round,
    "7 mean over tokens": edits.mean_over_tokens(loss),
}
