"""LiPO-λ: every pair of a list pushes by what its swap is worth in the ranking.

Objective:
    L = Σ_{i,j: r_i > r_j} Δ_ij log(1 + e^{−(s_i − s_j)}),  s = β d, d_i = log π(y_i) −
    log π_ref(y_i) summed over response tokens,
    Δ_ij = |G_i − G_j| · |1/log(1 + τ_i) − 1/log(1 + τ_j)|,  G = 2^ψ − 1,
    with the label ψ of a response and its rank τ (1 is best) under the present s. No
    gradient flows through Δ. It is a sum over pairs, not a mean.

Compared with PAIR_LOGISTIC:
    each pair is weighed by Δ: the DCG that is lost when its two responses swap places.

Valid only if:
    all responses answer the same prompt; β > 0; ψ is of order 1, in [0, 1] in the paper
    (Δ grows as 2^ψ). Equal labels make no pair. Equal s are ranked by their place in
    the list, an arbitrary choice: a shared rank would make all Δ 0 at the first step,
    where π = π_ref, and nothing would ever move.

Fixed point:
    K = 2: Δ depends on the labels alone, so it is DPO with pairs weighed by their gap
    in gain. i beats j: βD = log(E[Δ; i wins]/E[Δ; j wins]). With fixed labels and any K
    all Δ are positive, so all pairs drift apart without end. Derived here; checked by
    the gradient.

Known mistakes:
    (1) ranks from the labels: what is already in place gets the weight.
    (2) ranks from 0: 1/log(1 + 0) is infinite.
    (3) Δ without its |·|: pairs out of order are driven further out of order.
    (4) a leading minus, as some texts print: the order is unlearned.
    (5) the size of the labels left out, G = rank: list_mle ignores it too.
    (6) ranks from the worst: the bottom of the list gets the weight.
    (7) a mean over tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.pairwise_sums import differences, ordered_sum
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.methods.direct.lists import pair_logistic

card = Card(
    key="lipo",
    title="LiPO-λ",
    parents=("pair_logistic",),
    needs=("lists", "reward", "reference"),
    paper="T. Liu et al. 2024 (2402.01878)",
    check="K = 2 is DPO times a number of the labels: 0.33807 for ψ = 0.9 and 0.3.",
    claim="It beats DPO on pairs and rankings, and gains from longer lists.",
    notebook="28a",
    loop=offline,
    scale="beta",
)
Values = Float[Tensor, "batch group"]


@dataclass(frozen=True)
class Config(pair_logistic.Config):
    """Settings of LiPO-λ.

    Attributes:
        beta: reward units per nat.
        labels: ψ is the mean win rate over the rest of the list, or the score itself.
    """

    labels: Literal["win_rates", "scores"] = "win_rates"  # ours: always in [0, 1]


def labels(batch: ListLogps, cfg: Config) -> Values:
    """ψ of each response, a constant."""
    psi = batch.win_rates if cfg.labels == "win_rates" else batch.scores
    return psi.detach()


def ranks(values: Values) -> Values:
    """1 for the largest value of a list, 2 for the next; a tie goes to the first."""
    order = values.argsort(dim=-1, descending=True, stable=True)
    return (order.argsort(dim=-1) + 1).to(values.dtype)


def swap_gain(psi: Values, rank: Values) -> Float[Tensor, "batch group group"]:
    """Δ: how much of Σ (2^ψ − 1)/log(1 + τ) changes when i and j swap ranks."""
    return (differences(2**psi) * differences(1 / rank.log1p())).abs()


def _weighed(batch: ListLogps, cfg: Config, gain: Tensor) -> Tensor:
    pushes = gain * dpo.link(differences(batch.logratio()), cfg)
    return ordered_sum(pushes, batch.scores)


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Σ Δ_ij log(1 + e^{−(s_i − s_j)}) over the ordered pairs of each list."""
    rank = ranks(batch.logratio().detach())
    return _weighed(batch, cfg, swap_gain(labels(batch, cfg), rank))


def _with(gain: Callable[[Values, Values], Tensor]) -> edits.Loss:
    def wrong(batch: ListLogps, cfg: Config) -> Tensor:
        return _weighed(batch, cfg, gain(labels(batch, cfg), batch.logratio().detach()))

    return wrong


mistakes = {
    "1 ranks of the labels": _with(lambda psi, d: swap_gain(psi, ranks(psi))),
    "2 ranks from zero": _with(lambda psi, d: swap_gain(psi, ranks(d) - 1)),
    "3 gain with a sign": _with(
        lambda psi, d: differences(2**psi) * differences(1 / ranks(d).log1p())
    ),
    "4 leading minus": edits.wrong_sign(loss),
    "5 size of the labels left out": _with(
        lambda psi, d: swap_gain(psi.shape[-1] - ranks(psi), ranks(d))
    ),
    "6 ranks from the worst": _with(lambda psi, d: swap_gain(psi, ranks(-d))),
    "7 mean over tokens": edits.mean_over_tokens(loss),
}
