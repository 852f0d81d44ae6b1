"""Noise contrastive alignment: each log-ratio of a list is judged by itself.

Objective:
    L = −Σ_k p_k log σ(s_k) − (1/K) Σ_k log σ(−s_k),
    p = softmax(r/α),  s_k = β·log π(y_k)/π_ref(y_k), sums over response tokens.

Compared with INFONCA:
    a sigmoid for each response instead of a softmax over the list: draws of the target
    are told from draws of the reference. Now s itself counts, not only differences.

Valid only if:
    the responses of a list are independent draws from π_ref: the second term stands for
    the mean over π_ref.

Minimiser:
    at β = 1 and K → ∞: π_ref exp(r/α)/Z. Derived here: with K draws per list and β = 1
    it is π_ref(y)·K·E[p_1 | y_1 = y], which sums to 1 for every K and is less sharp;
    checked at K = 2 by the gradient over all pairs. At β ≠ 1 the pointwise optimum
    π_ref·(K E[p_1 | y_1])^(1/β) is no distribution. A pair with hard labels (the loss
    is then −log σ(s_c) − ½ log σ(−s_c) − ½ log σ(−s_r)) wants s_c = log 2 and s_r → −∞.

Known mistakes:
    (1) a sum for the mean in the second term.
    (2) a mean over the list in the first term too.
    (3) the best left out of the second term: on pairs the authors' ``biasedNCA``.
    (4) a softmax: InfoNCA.
    (5) scores negated.
    (6) the reference left out.
    (7) a mean over tokens.
"""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits, softmax_targets
from workbench.core.card import Card
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.lists import infonca

card = Card(
    key="nca",
    title="Noise contrastive alignment",
    parents=("infonca",),
    needs=("lists", "reward", "reference"),
    paper="Chen et al. 2024 (2402.05369)",
    check="At β = 1 at rest at π_ref exp(r/α)/Z; a hard pair wants s_c = log 2.",
    claim="The likelihood of the best response does not fall, as under DPO it may.",
    notebook="22a",
    loop=offline,
    hooks=("implicit_reward",),
)
Config = infonca.Config


implicit_reward = infonca.implicit_reward


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Cross-entropy of target and of reference draws of each list, in nats."""
    return _value(
        cfg.beta * batch.logratio(), softmax_targets.targets(batch.scores, cfg.alpha)
    )


def _value(scaled: Tensor, target: Tensor) -> Tensor:
    return -(target * logsigmoid(scaled)).sum(-1) - logsigmoid(-scaled).mean(-1)


def _summed(batch: ListLogps, cfg: Config) -> Tensor:
    scaled = cfg.beta * batch.logratio()
    target = softmax_targets.targets(batch.scores, cfg.alpha)
    return -(target * logsigmoid(scaled)).sum(-1) - logsigmoid(-scaled).sum(-1)


def _both_means(batch: ListLogps, cfg: Config) -> Tensor:
    scaled = cfg.beta * batch.logratio()
    target = softmax_targets.targets(batch.scores, cfg.alpha)
    return -(target * logsigmoid(scaled)).mean(-1) - logsigmoid(-scaled).mean(-1)


def _biased(batch: ListLogps, cfg: Config) -> Tensor:
    scaled = cfg.beta * batch.logratio()
    target = softmax_targets.targets(batch.scores, cfg.alpha)
    others = target < target.amax(-1, keepdim=True)
    down = (others * logsigmoid(-scaled)).sum(-1) / others.sum(-1).clamp(min=1)
    return -(target * logsigmoid(scaled)).sum(-1) - down


mistakes = {
    "1 sum for the mean": _summed,
    "2 mean in the first term": _both_means,
    "3 best left out below": _biased,
    "4 softmax": infonca.loss,
    "5 scores negated": edits.swapped(loss),
    "6 no reference": edits.no_reference(loss),
    "7 mean over tokens": edits.mean_over_tokens(loss),
}
