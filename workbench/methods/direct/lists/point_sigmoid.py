"""Each implicit reward is a logit, and its label the probability to meet.

Objective:
    L = −Σ_i [ψ_i log σ(s_i) + (1 − ψ_i) log σ(−s_i)],  s = β log π(y)/π_ref(y), sums
    over response tokens; a sum over the list, not a mean. The form is from memory of
    the paper, which was not compared again.

Compared with POINT_MSE:
    the square is replaced by a binary cross-entropy; labels are probabilities.

Valid only if:
    ψ in [0, 1]; outside, the loss has no minimum. The zero of s means ψ = 1/2: labels
    with E_ref[(ψ/(1 − ψ))^{1/β}] = 1, or no policy meets all of them.

Minimiser:
    σ(s) = ψ, π = π_ref (ψ/(1 − ψ))^{1/β}, if that sums to 1. Otherwise, over all
    responses weighed equally, ψ − σ(s) = c π with the c that makes π sum to 1. Derived
    here; checked by the gradient in an enumerated world. Hard labels have their
    infimum at infinite s.

Known mistakes:
    (1) the part of 1 − ψ left out: every response is to rise.
    (2) labels rounded to 0 and 1.
    (3) probabilities in place of logits: σ taken twice.
    (4) a mean over the list.
    (5) a mean over tokens.
    (6) labels swapped, 1 − ψ.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.lists import lipo

card = Card(
    key="point_sigmoid",
    title="Pointwise cross-entropy on labels",
    parents=("point_mse",),
    needs=("lists", "reward", "reference"),
    paper="T. Liu et al. 2024 (2402.01878)",
    check="At the minimiser the residuals ψ − σ(s) are proportional to π.",
    claim="Pointwise losses stay behind those that compare responses.",
    notebook="80a",
    loop=offline,
    scale="beta",
)
Config = lipo.Config


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Binary cross-entropy of ψ and σ(s), summed over each list, in nats."""
    implied = cfg.beta * batch.logratio()
    return (softplus(implied) - lipo.labels(batch, cfg) * implied).sum(-1)


def _only_good(batch: ListLogps, cfg: Config) -> Tensor:
    return -(lipo.labels(batch, cfg) * logsigmoid(cfg.beta * batch.logratio())).sum(-1)


def _rounded(batch: ListLogps, cfg: Config) -> Tensor:
    implied = cfg.beta * batch.logratio()
    hard = (lipo.labels(batch, cfg) > 0.5).to(implied)
    return (softplus(implied) - hard * implied).sum(-1)


def _twice(batch: ListLogps, cfg: Config) -> Tensor:
    implied = (cfg.beta * batch.logratio()).sigmoid()
    return (softplus(implied) - lipo.labels(batch, cfg) * implied).sum(-1)


def _mean_over_list(batch: ListLogps, cfg: Config) -> Tensor:
    return loss(batch, cfg) / batch.scores.shape[-1]


def _swapped(batch: ListLogps, cfg: Config) -> Tensor:
    implied = cfg.beta * batch.logratio()
    return (softplus(implied) - (1 - lipo.labels(batch, cfg)) * implied).sum(-1)


mistakes = {
    "1 only the part of good labels": _only_good,
    "2 labels rounded": _rounded,
    "3 sigmoid taken twice": _twice,
    "4 mean over the list": _mean_over_list,
    "5 mean over tokens": edits.mean_over_tokens(loss),
    "6 labels swapped": _swapped,
}
