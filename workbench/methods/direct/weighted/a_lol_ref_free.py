"""A-LoL without a reference: likelihood weighted with the positive advantage.

Objective:
    L = −A log π(y|x),  A = max(0, r(x, y) − V(x)),  V(x) = E_ref[r | x].

Compared with A_LOL:
    the importance weight is 1, as at ε = 0. The reference enters through V alone.

Valid only if:
    V is the value of the reference at the prompt. The data may come from any
    distribution μ.

Minimiser:
    π(y|x) ∝ μ(y|x) A(x, y), as wBC with A for r, for ``reduce="sum"``. It moves from μ
    once and stays. With one and the same A > 0 everywhere it is SFT, times A.

Known mistakes:
    (1) negative advantages kept: responses are pushed down without end.
    (2) the baseline left out: wBC.
    (3) A twice, in the loss and as the chance to be drawn: the minimiser is ∝ μ A².
    (4) a mean over tokens where the sum is meant.
    (5) the sign.
"""

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.scored import ScoredLogps
from workbench.loops import offline
from workbench.methods.direct.weighted import wbc
from workbench.methods.supervised import sft

card = Card(
    key="a_lol_ref_free",
    title="A-LoL, reference-free",
    parents=("a_lol", "wbc"),
    needs=("responses", "reward", "value head"),
    paper="Baheti et al. 2023 (2305.14718)",
    check="The population minimiser is ∝ μ A; equal advantages give SFT.",
    claim="With low-reward responses mixed in, it keeps its reward as A-LoL does.",
    notebook="80a",
    loop=offline,
)

Config = sft.Config


def loss(batch: ScoredLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−A log π(y|x) of each response."""
    return batch.advantage * sft.loss(batch, cfg)


def _negative_kept(batch: ScoredLogps, cfg: Config) -> Tensor:
    return (batch.scores - batch.baseline).detach() * sft.loss(batch, cfg)


def _twice(batch: ScoredLogps, cfg: Config) -> Tensor:
    return batch.advantage**2 * sft.loss(batch, cfg)


mistakes = {
    "1 negative advantages kept": _negative_kept,
    "2 no baseline": wbc.loss,
    "3 advantage twice": _twice,
    "4 mean over tokens": edits.with_config(loss, reduce="mean"),
    "5 wrong sign": edits.wrong_sign(loss),
}
