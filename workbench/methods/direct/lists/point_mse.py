"""Each implicit reward is regressed on its label.

Objective:
    L = Σ_i (ψ_i − s_i)²,  s = β log π(y)/π_ref(y), sums over response tokens; a sum
    over the list, not a mean. The form is from memory of the paper, which was not
    compared again.

Compared with LIPO:
    each response is fitted alone; no response is compared with another. REBEL regresses
    differences and so leaves a constant free.

Valid only if:
    ψ is a reward in units of β nats whose zero is right: E_ref[exp(ψ/β)] = 1, or no
    policy meets all labels. A constant added to the labels changes what is learned.

Minimiser:
    s = ψ if E_ref[exp(ψ/β)] = 1, and then it is π*_β of reward ψ. Otherwise, over all
    responses weighed equally, ψ − s = c π with the c that makes π sum to 1: likely
    responses miss their label most. Derived here; checked by the gradient in an
    enumerated world.

Known mistakes:
    (1) labels not scaled as s: the target of d is ψ.
    (2) s and ψ centred in the list: the zero is free, as for REBEL.
    (3) a mean over the list.
    (4) a mean over tokens.
    (5) the reference left out.
    (6) the sign of s.
"""

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.lists import lipo

card = Card(
    key="point_mse",
    title="Pointwise regression on labels",
    parents=("lipo",),
    needs=("lists", "reward", "reference"),
    paper="T. Liu et al. 2024 (2402.01878)",
    check="At the minimiser the residuals ψ − s are proportional to π.",
    claim="Pointwise losses stay behind those that compare responses.",
    notebook="80a",
    loop=offline,
    scale="beta",
)
Config = lipo.Config


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Σ (ψ_i − s_i)² of each list, in squared units of the labels."""
    residual = lipo.labels(batch, cfg) - cfg.beta * batch.logratio()
    return (residual**2).sum(-1)


def _centred(batch: ListLogps, cfg: Config) -> Tensor:
    residual = lipo.labels(batch, cfg) - cfg.beta * batch.logratio()
    return ((residual - residual.mean(-1, keepdim=True)) ** 2).sum(-1)


def _mean_over_list(batch: ListLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) / batch.scores.shape[-1]


mistakes = {
    "1 labels not scaled": edits.with_config(loss, beta=1.0),
    "2 centred in the list": _centred,
    "3 mean over the list": _mean_over_list,
    "4 mean over tokens": edits.mean_over_tokens(loss),
    "5 no reference": edits.no_reference(loss),
    "6 sign of s": edits.with_config(loss, beta=lambda cfg: -cfg.beta),
}
