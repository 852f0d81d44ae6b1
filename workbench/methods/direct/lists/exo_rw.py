"""Efficient exact optimisation on lists: reverse KL from the policy's choice to p.

Objective:
    L = KL(q‖p) = Σ_k q_k (log q_k − log p_k),  q = softmax(β_π·d),  p = softmax(r/β_r),
    d_k = log π(y_k)/π_ref(y_k) over the K responses of a list, sums over tokens.

Compared with EXO_PREF:
    a list with scores instead of a pair with a smoothed label: K = 2 is EXO on pairs
    with ε = σ(−Δr/β_r). The gradient flows through q everywhere.

Valid only if:
    the responses of a list were drawn from π_ref: then, as K grows, L tends to
    KL(π_θ‖π_r) with π_θ ∝ π^β_π π_ref^(1−β_π) and π_r ∝ π_ref exp(r/β_r). The loss is
    not convex: where q gives next to nothing to what p wants, the push dies out, unlike
    that of dpo-rw.

Minimiser:
    π ∝ π_ref exp(r/(β_r β_π)): L = 0 for a list if and only if its d = r/(β_r β_π) + c.

Known mistakes:
    (1) the KL turned round: dpo-rw.
    (2) no gradient through q as a weight: the gradients of the two terms cancel.
    (3) the entropy of q left out: all mass goes to the best response.
    (4) scores negated.
    (5) β_r multiplied into the scores.
    (6) the reference left out.
    (7) a mean over tokens.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits, softmax_targets
from workbench.core.card import Card
from workbench.core.kl import categorical_kl
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="exo_rw",
    title="Efficient exact optimisation on lists",
    parents=("exo_pref",),
    needs=("lists", "reward", "reference"),
    paper="Ji et al. 2024 (2402.00856)",
    check="0 iff d = r/(β_r β_π) + c; over all responses it is KL(π‖π*).",
    claim="With too small a policy it seeks a mode where dpo-rw covers all.",
    notebook="80a",
    loop=offline,
    hooks=("implicit_reward", "optimum"),
)


@dataclass(frozen=True)
class Config:
    """Settings of EXO on lists and of its forward form, dpo-rw.

    Attributes:
        beta_pi: scale of the log-ratios, per nat.
        beta_r: divides the scores, reward units.
    """

    beta_pi: float = 0.1  # the authors' IMDB script; their others: 0.5
    beta_r: float = 0.1  # the authors' IMDB script; their others: 0.5


def optimum(cfg: Config) -> float:
    """β_r·β_π, reward units per nat."""
    return cfg.beta_r * cfg.beta_pi


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """β_r·β_π·log π/π_ref, reward units: the optimum read backwards."""
    return optimum(cfg) * responses.logratio()


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """KL of the policy's choice from the target of each list, in nats."""
    return _reverse(cfg.beta_pi * batch.logratio(), batch, cfg)


def _reverse(logits: Tensor, batch: ListLogps, cfg: Config) -> Tensor:
    target = softmax_targets.log_targets(batch.scores, cfg.beta_r)
    return categorical_kl(logits.log_softmax(-1), target)


def _turned_round(batch: ListLogps, cfg: Config) -> Tensor:
    target = softmax_targets.log_targets(batch.scores, cfg.beta_r)
    logits = cfg.beta_pi * batch.logratio()
    return categorical_kl(target, logits.log_softmax(-1))


def _constant_weights(batch: ListLogps, cfg: Config) -> Tensor:
    log_q = (cfg.beta_pi * batch.logratio()).log_softmax(-1)
    gap = log_q - softmax_targets.log_targets(batch.scores, cfg.beta_r)
    return (log_q.detach().exp() * gap).sum(-1)


def _no_entropy(batch: ListLogps, cfg: Config) -> Tensor:
    q = (cfg.beta_pi * batch.logratio()).softmax(-1)
    return -(q * softmax_targets.log_targets(batch.scores, cfg.beta_r)).sum(-1)


mistakes = {
    "1 KL turned round": _turned_round,
    "2 no gradient through the weights": _constant_weights,
    "3 no entropy": _no_entropy,
    "4 scores negated": edits.swapped(loss),
    "5 beta_r multiplied": edits.with_config(loss, beta_r=lambda cfg: 1 / cfg.beta_r),
    "6 no reference": edits.no_reference(loss),
    "7 mean over tokens": edits.mean_over_tokens(loss),
}
