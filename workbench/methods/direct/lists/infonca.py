"""InfoNCA: a softmax over a list of log-ratios learns the softmax of its scores.

Objective:
    L = −Σ_k p_k log softmax_k(s),  p = softmax(r/α),  s_k = β·log π(y_k)/π_ref(y_k),
    over the K responses of a list; log-ratios are sums over response tokens.

Compared with DPO:
    a list with scores instead of a pair with a winner: the target is p instead of
    (1, 0). DPO is K = 2 with α → 0. EXO's dpo-rw (β_π = β, β_r = α), ADPO (τ = 1/β,
    β_r = α; less the entropy of p) and BRAIn with q′ = π_ref (at β = 1) are this loss.

Valid only if:
    all responses of a list answer one prompt; scores of a list are comparable.

Minimiser:
    π ∝ π_ref exp(r/(αβ)): there every list pays the entropy of its p and none pushes,
    whatever lists are drawn, as long as they connect all responses. For α → 0 there is
    none at finite log-ratios.

Known mistakes:
    (1) scores negated: the worst response wins.
    (2) α multiplied into the scores: the authors' code calls its α 1/α of the paper.
    (3) hard targets whatever α: the argmax.
    (4) the first response read as the best: scores come in no order.
    (5) the reference left out.
    (6) a softmax over the batch instead of the list.
    (7) a mean over tokens.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits, softmax_targets
from workbench.core.card import Card
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="infonca",
    title="InfoNCA",
    parents=("dpo",),
    needs=("lists", "reward", "reference"),
    paper="Chen et al. 2024 (2402.05369)",
    check="Each list's gradient is 0 at π_ref exp(r/(αβ))/Z; K = 2 hard is DPO.",
    claim="Like DPO it lets the likelihood of the best response fall; NCA does not.",
    notebook="28",
    loop=offline,
    hooks=("implicit_reward", "optimum"),
)


@dataclass(frozen=True)
class Config:
    """Settings of InfoNCA and NCA.

    Attributes:
        beta: scale of the log-ratios, per nat.
        alpha: divides the scores, reward units; ``temperature_alpha`` of the authors.
    """

    beta: float = 0.1  # authors' code, class default; their runs use 0.01
    alpha: float = 1.0  # ours: αβ is then DPO's β; authors' class 1e-3, their run 1e-4


def optimum(cfg: Config) -> float:
    """α·β, reward units per nat."""
    return cfg.alpha * cfg.beta


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """α·β·log π/π_ref, reward units: the optimum read backwards."""
    return optimum(cfg) * responses.logratio()


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Cross-entropy of the target of each list, in nats."""
    target = softmax_targets.targets(batch.scores, cfg.alpha)
    return softmax_targets.cross_entropy(target, cfg.beta * batch.logratio())


def _hard(batch: ListLogps, cfg: Config) -> Tensor:
    best = torch.nn.functional.one_hot(batch.scores.argmax(-1), batch.scores.shape[-1])
    return softmax_targets.cross_entropy(
        best.to(batch.scores), cfg.beta * batch.logratio()
    )


def _over_batch(batch: ListLogps, cfg: Config) -> Tensor:
    logits = cfg.beta * batch.logratio()
    target = softmax_targets.targets(batch.scores, cfg.alpha)
    return -(target * logits.flatten().log_softmax(-1).view_as(logits)).sum(-1)


mistakes = {
    "1 scores negated": edits.swapped(loss),
    "2 alpha multiplied": edits.with_config(loss, alpha=lambda cfg: 1 / cfg.alpha),
    "3 hard targets": _hard,
    "4 first is best": edits.with_batch(
        loss, scores=lambda batch: batch.scores.sort(-1, descending=True).values
    ),
    "5 no reference": edits.no_reference(loss),
    "6 softmax over the batch": _over_batch,
    "7 mean over tokens": edits.mean_over_tokens(loss),
}
