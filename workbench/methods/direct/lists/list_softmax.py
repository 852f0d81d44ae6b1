"""Softmax cross-entropy to labels that are divided by their sum.

Objective:
    L = −Σ_i (ψ_i/Σ_j ψ_j) log softmax_i(s),  s = β log π(y)/π_ref(y), sums over
    response tokens; softmax over the list, ψ its labels. The form is from memory of the
    paper, which was not compared again.

Compared with LIPO:
    one softmax over the list replaces the sum over pairs. Compared with InfoNCA, the
    targets are the labels themselves, not softmax(r/α).

Valid only if:
    all responses of a list answer the same prompt; ψ ≥ 0 and not all 0. Labels as win
    rates sum to K/2, so a target is at most 2/K: it is nearly uniform in long lists,
    and so is what is learned.

Minimiser:
    softmax(β d) = ψ/Σψ in every list: π ∝ π_ref ψ^{1/β}, for labels that belong to the
    response whatever the list. Win rates of lists depend on the list, and only their
    average remains. Derived here; checked by the gradient in an enumerated world. It is
    π*_β only for ψ ∝ exp(r).

Known mistakes:
    (1) labels not divided by their sum: the step grows with Σψ, K/2 for win rates.
    (2) softmax of the labels as target: InfoNCA at temperature 1.
    (3) the best response alone as target.
    (4) target and prediction swapped in the cross-entropy.
    (5) β forgotten.
    (6) a mean over tokens.
"""

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.softmax_targets import cross_entropy, targets
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.lists import lipo

card = Card(
    key="list_softmax",
    title="Softmax cross-entropy on normalised labels",
    parents=("lipo",),
    needs=("lists", "reward", "reference"),
    paper="T. Liu et al. 2024 (2402.01878)",
    check="The minimiser is ∝ π_ref ψ^(1/β) for labels that belong to the response.",
    claim="At equal lists it stays behind LiPO-λ in reward.",
    notebook="80a",
    loop=offline,
    scale="beta",
)
Config = lipo.Config


def shares(batch: ListLogps, cfg: Config) -> Float[Tensor, "batch group"]:
    """ψ_i/Σψ, a constant."""
    psi = lipo.labels(batch, cfg)
    return psi / psi.sum(-1, keepdim=True)


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−Σ (ψ_i/Σψ) log softmax_i(s) of each list, in nats."""
    return cross_entropy(shares(batch, cfg), cfg.beta * batch.logratio())


def _not_divided(batch: ListLogps, cfg: Config) -> Tensor:
    return cross_entropy(lipo.labels(batch, cfg), cfg.beta * batch.logratio())


def _softmax_of_labels(batch: ListLogps, cfg: Config) -> Tensor:
    target = targets(lipo.labels(batch, cfg), 1.0)
    return cross_entropy(target, cfg.beta * batch.logratio())


def _best_alone(batch: ListLogps, cfg: Config) -> Tensor:
    best = (batch.scores == batch.scores.amax(-1, keepdim=True)).to(batch.scores)
    target = best / best.sum(-1, keepdim=True)
    return cross_entropy(target, cfg.beta * batch.logratio())


def _swapped(batch: ListLogps, cfg: Config) -> Tensor:
    drawn = (cfg.beta * batch.logratio()).softmax(-1)
    return -(drawn * shares(batch, cfg).abs().log()).sum(-1)


mistakes = {
    "1 labels not divided": _not_divided,
    "2 softmax of the labels": _softmax_of_labels,
    "3 best response alone": _best_alone,
    "4 target and prediction swapped": _swapped,
    "5 no beta": edits.with_config(loss, beta=1.0),
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
