"""APO-zero: chosen responses up, rejected ones down, each by itself.

Objective:
    L = 1 − σ(s_c) + σ(s_r),  s = β·log π(y)/π_ref(y), sums over response tokens.

Compared with DPO:
    the margin is split: each response has a sigmoid of its own, so which way each moves
    is fixed. It is KTO on the two responses with z₀ = 0 and λ = 1.

Valid only if:
    the chosen responses are better than what the reference writes; otherwise APO-down.

Minimiser:
    none at finite log-ratios: L is bounded and linear in σ(s). Derived here: a response
    that is chosen in a weight c_w and rejected in c_l of its pairs contributes
    −(c_w − c_l)·σ(s), so the majority decides alone; checked by the gradient over all
    pairs of an enumerated world. The push β σ(s)σ(−s) dies out on both sides.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the sigmoid of the margin: 1 − σ(s_c − s_r).
    (3) −log σ for σ: unbounded, TRL's ``bco_pair``.
    (4) the reference left out.
    (5) β forgotten.
    (6) a mean over tokens.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.loops import offline

card = Card(
    key="apo_zero",
    title="Anchored preference optimisation, zero",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="D'Oosterlinck et al. 2024 (2408.06266)",
    check="The pushes are βσ(s)σ(−s): up on the chosen, down on the rejected response.",
    claim="The mean log-ratio of the chosen responses rises; DPO's may fall.",
    notebook="21b",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of APO.

    Attributes:
        beta: reward units per nat.
    """

    beta: float = 0.1  # TRL 1.16


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """1 − σ(s_c) + σ(s_r) of each pair, between 0 and 2."""
    chosen = cfg.beta * batch.chosen.logratio()
    rejected = cfg.beta * batch.rejected.logratio()
    return (-chosen).sigmoid() + rejected.sigmoid()


def _of_margin(batch: PairLogps, cfg: Config) -> Tensor:
    return (-cfg.beta * batch.margin()).sigmoid()


def _logarithms(batch: PairLogps, cfg: Config) -> Tensor:
    chosen = cfg.beta * batch.chosen.logratio()
    return -logsigmoid(chosen) - logsigmoid(-cfg.beta * batch.rejected.logratio())


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 sigmoid of the margin": _of_margin,
    "3 logarithms": _logarithms,
    "4 no reference": edits.no_reference(loss),
    "5 no beta": edits.with_config(loss, beta=1.0),
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
