"""APO-down: both responses down, the rejected one further.

Objective:
    L = σ(s_c) + 1 − σ(s_c − s_r),  s = β·log π(y)/π_ref(y), sums over response tokens.

Compared with APO_ZERO:
    the chosen response is pushed down by itself, σ(s_c), and up only through the
    margin; the rejected one only through the margin.

Valid only if:
    the chosen responses are worse than what the reference writes; otherwise APO-zero.

Minimiser:
    the infimum, 0, lies at s_c = −∞ with s_c − s_r = ∞: all probability goes to
    responses in no pair. Derived here: the push on the chosen response is
    β·(σ′(s_c − s_r) − σ′(s_c)), σ′ = σ(1 − σ). It is 0 at the start and points down if
    and only if |s_c − s_r| > |s_c|; checked over a grid and by hand.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the sign of the first term: the chosen response rises.
    (3) σ(s_r) for σ(s_c): the rejected response is pushed twice.
    (4) the margin for s_c in both terms: they cancel, and L is 1 for ever.
    (5) β forgotten.
    (6) a mean over tokens.
"""

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.loops import offline
from workbench.methods.direct.links import apo_zero

card = Card(
    key="apo_down",
    title="Anchored preference optimisation, down",
    parents=("apo_zero",),
    needs=("pairs", "reference"),
    paper="D'Oosterlinck et al. 2024 (2408.06266)",
    check="The chosen response is pushed down if and only if |s_c − s_r| > |s_c|.",
    claim="The mean log-ratio of the chosen responses falls; APO-zero's rises.",
    notebook="21b",
    loop=offline,
    scale="beta",
)
Config = apo_zero.Config


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """σ(s_c) + 1 − σ(s_c − s_r) of each pair, between 0 and 2."""
    chosen = cfg.beta * batch.chosen.logratio()
    return chosen.sigmoid() + (-cfg.beta * batch.margin()).sigmoid()


def _chosen_up(batch: PairLogps, cfg: Config) -> Tensor:
    chosen = cfg.beta * batch.chosen.logratio()
    return (-chosen).sigmoid() + (-cfg.beta * batch.margin()).sigmoid()


def _rejected_twice(batch: PairLogps, cfg: Config) -> Tensor:
    rejected = cfg.beta * batch.rejected.logratio()
    return rejected.sigmoid() + (-cfg.beta * batch.margin()).sigmoid()


def _margin_twice(batch: PairLogps, cfg: Config) -> Tensor:
    scaled = cfg.beta * batch.margin()
    return scaled.sigmoid() + (-scaled).sigmoid()


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 chosen pushed up": _chosen_up,
    "3 rejected pushed twice": _rejected_twice,
    "4 margin in both terms": _margin_twice,
    "5 no beta": edits.with_config(loss, beta=1.0),
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
