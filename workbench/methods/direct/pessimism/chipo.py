"""χPO: DPO with a link that makes far-away responses linear, not exponential.

Objective:
    L = −log σ(clip_{2R}[β φ(u_c) − β φ(u_r)]),  φ(u) = u + log u,  u = π/π_ref,
    clip_c(t) = max(−c, min(c, t)), and R a bound on |r|.

Compared with f-DPO:
    the divergence is χ²/2 + KL(π‖π_ref), f = ½(u − 1)² + u log u, and the difference of
    rewards is cut where no pair of rewards can lie. Compared with DPO, log u gets u.

Valid only if:
    |r| ≤ R. Beyond the cut a pair has no gradient: watch the fraction that is cut. u is
    an exponential of summed log-ratios, computed up to e^80.

Minimiser:
    argmax E_π[r] − β E_ref[½(u − 1)² + u log u] for Bradley–Terry labels of r, whatever
    pairs are drawn. There u ≤ 1 + (max r − min r)/β; DPO's goes up to exp of it.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) log u left out: pure χ², whose optimum leaves responses out.
    (3) the χ² of E_ref[(u − 1)²], without its half: 2u + log u.
    (4) the cut at R: pairs of rewards differ by up to 2R.
    (5) the cut before β.
    (6) no cut.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.divergences import CHI2_KL
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo, f_dpo

card = Card(
    key="chipo",
    title="χ²-preference optimisation",
    parents=("f_dpo", "dpo"),
    needs=("pairs", "reference"),
    paper="Huang et al. 2024 (2407.13399)",
    check="The optimum of E[r] − β(χ²/2 + KL) is stationary while no pair is cut.",
    claim="Under poor coverage its gold reward does not collapse as that of DPO does.",
    notebook="23a",
    loop=offline,
    hooks=("implicit_reward",),
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of χPO.

    Attributes:
        beta: reward units per unit of the divergence.
        r_max: R, a bound on |r|, reward units; ``math.inf`` cuts nothing.
    """

    beta: float = 0.1  # ours: as DPO; the paper gives a rate in n, no number
    r_max: float = 5.0  # ours: the gold rewards of the enumerable worlds lie within


def _cut(reward_gap: Tensor, bound: float) -> Tensor:
    return dpo.link(reward_gap.clamp(-bound, bound), dpo.Config(beta=1.0))


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """β(u + log u), the implicit reward up to a constant of the prompt."""
    return cfg.beta * CHI2_KL.slope(responses.logratio())


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ of the cut difference of implicit rewards of each pair, in nats."""
    return _cut(cfg.beta * f_dpo.slope_margin(batch, CHI2_KL), 2 * cfg.r_max)


def _gap(batch: PairLogps, squares: float, logs: float) -> Tensor:
    ratios = batch.chosen.logratio().exp() - batch.rejected.logratio().exp()
    return squares * ratios + logs * batch.margin()


def _pure_chi2(batch: PairLogps, cfg: Config) -> Tensor:
    return _cut(cfg.beta * _gap(batch, 1.0, 0.0), 2 * cfg.r_max)


def _no_half(batch: PairLogps, cfg: Config) -> Tensor:
    return _cut(cfg.beta * _gap(batch, 2.0, 1.0), 2 * cfg.r_max)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 pure chi-square": _pure_chi2,
    "3 chi-square without its half": _no_half,
    "4 cut at R": edits.with_config(loss, r_max=lambda cfg: cfg.r_max / 2),
    # β·clip_{2R}(t) = clip_{2βR}(βt)
    "5 cut before beta": edits.with_config(
        loss, r_max=lambda cfg: cfg.beta * cfg.r_max
    ),
    "6 no cut": edits.with_config(loss, r_max=math.inf),
}
