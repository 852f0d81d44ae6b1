"""Reward model with graded margins: a much better response must lead by more.

Objective:
    L = −log σ(r_c − r_r − m),  m = scale·grade ≥ 0, a constant of the pair.

Compared with BT:
    BT asks for any lead; here the lead that is asked for grows with the grade.

Valid only if:
    grades are on the scale of the scores after ``scale``; the grade of a wrong label is
    small, for a margin makes a wrong label weigh more.

Minimiser:
    of a pair won with probability p and graded m whichever way it falls, not the true
    log-odds: D = log u with u = [(2p − 1) + √((2p − 1)² + 4p(1 − p)e^−2m)] /
    (2(1 − p)e^−m). It is ½-fixed (p = ½ gives 0) and beyond logit p elsewhere, so that
    the chances σ(D) are overconfident.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the margin added to the difference: a small lead is enough where a large one is
        asked for.
    (3) the margin outside of the logarithm: it changes no gradient.
    (4) the margin as a factor of the difference: another temperature for each pair.
    (5) the gradient multiplied by the grade: easy pairs weigh more, none leads more.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.graded_pairs import GradedScores
from workbench.loops import reward

card = Card(
    key="rm_margin",
    title="Reward model with graded margins",
    parents=("bt",),
    needs=("pairs", "reward"),
    paper="Touvron et al. 2023 (2307.09288)",
    check="The minimiser of a graded pair solves p σ(m − D) = (1 − p) σ(m + D).",
    claim="Graded margins order clear pairs better and state too high chances.",
    notebook="12a",
    loop=reward,
)


@dataclass(frozen=True)
class Config:
    """Settings of graded margins.

    Attributes:
        scale: reward units of lead per unit of the grade; of Llama 2's four grades 0 to
            3, 1 makes its large margins and 1/3 its small ones.
    """

    scale: float = 1.0  # Llama 2 compares 1/3 and 1; the table from memory


def loss(batch: GradedScores, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ of the lead beyond what the grade asks for, in nats."""
    return -logsigmoid(batch.margin() - cfg.scale * batch.grade)


def _outside(batch: GradedScores, cfg: Config) -> Tensor:
    return cfg.scale * batch.grade - logsigmoid(batch.margin())


def _as_factor(batch: GradedScores, cfg: Config) -> Tensor:
    return -logsigmoid(batch.margin() * cfg.scale * batch.grade)


def _as_weight(batch: GradedScores, cfg: Config) -> Tensor:
    return -cfg.scale * batch.grade * logsigmoid(batch.margin())


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 margin added": edits.with_config(loss, scale=lambda cfg: -cfg.scale),
    "3 margin outside of the logarithm": _outside,
    "4 margin as a factor": _as_factor,
    "5 margin as a weight": _as_weight,
}
