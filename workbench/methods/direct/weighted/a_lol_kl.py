"""A-LoL with a KL term in place of the weight; what the term really does.

Objective:
    L = 1[A > 0] (−A log π(y|x) + b (log π(y|x) − log π_ref(y|x))),
    A = max(0, r(x, y) − V(x)); responses with A = 0 are dropped, the term with them.

Compared with A_LOL:
    no importance weight; a term that estimates KL(π‖π_ref) by its value is added.

Valid only if:
    V is the value of the reference at the prompt, and most advantages exceed b. The
    term is a KL in value only, and only for y ~ π: the responses are data, and its
    gradient is b ∇log π(y|x), whatever the reference is.

Minimiser:
    L has the gradient of likelihood weighted with A − b: π ∝ μ (A − b) where A > b for
    all responses kept, for data from a distribution μ. A response with 0 < A < b is
    pushed down without end, and the loss has no minimum. The reference has no say.

Known mistakes:
    (1) the term on dropped responses too: they are pushed down.
    (2) the sign of the term.
    (3) the importance weight kept.
    (4) the term multiplied by A.
    (5) negative advantages kept.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.loops import offline
from workbench.methods.direct.weighted import a_lol

card = Card(
    key="a_lol_kl",
    title="A-LoL with a KL term",
    parents=("a_lol",),
    needs=("responses", "reward", "reference", "value head"),
    paper="Baheti et al. 2023 (2305.14718)",
    check="Its gradient is that of likelihood weighted with A − b, for any reference.",
    claim="With low-reward responses mixed in, it keeps its reward as A-LoL does.",
    notebook="80a",
    loop=offline,
)


@dataclass(frozen=True)
class Config:
    """Settings of A-LoL with a KL term.

    Attributes:
        b: weight of the KL term, reward units per nat.
    """

    b: float = 0.05  # ours: well below a common advantage


def loss(batch: ScoredLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−A log π + b log π/π_ref of each response with A > 0, 0 of the others."""
    kept = batch.advantage > 0
    return -batch.advantage * batch.logps() + cfg.b * kept * batch.logratio()


def _on_dropped(batch: ScoredLogps, cfg: Config) -> Tensor:
    return -batch.advantage * batch.logps() + cfg.b * batch.logratio()


def _weight_kept(batch: ScoredLogps, cfg: Config) -> Tensor:
    kept = batch.advantage > 0
    return a_lol.loss(batch, a_lol.Config()) + cfg.b * kept * batch.logratio()


def _times_advantage(batch: ScoredLogps, cfg: Config) -> Tensor:
    return batch.advantage * (-batch.logps() + cfg.b * batch.logratio())


def _negative_kept(batch: ScoredLogps, cfg: Config) -> Tensor:
    advantage = (batch.scores - batch.baseline).detach()
    return -advantage * batch.logps() + cfg.b * batch.logratio()


mistakes = {
    "1 term on dropped responses": _on_dropped,
    "2 sign of the term": edits.with_config(loss, b=lambda cfg: -cfg.b),
    "3 importance weight kept": _weight_kept,
    "4 term multiplied by A": _times_advantage,
    "5 negative advantages kept": _negative_kept,
}
