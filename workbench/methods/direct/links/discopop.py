"""DiscoPOP: a loss found by search, logistic on one side and exponential on the other.

Objective:
    L = (1 − a)·(−log σ(M)) + a·exp(−M),  a = σ(M/τ),  M = β·D,
    D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r), sums over response tokens.

Compared with DPO:
    the logistic link holds where M < 0; where M > 0 an exponential takes its place,
    within about τ of 0. The gradient flows through the blend a as well.

Valid only if:
    τ < 1: a·exp(−M) grows without bound on the wrong side otherwise. The link is not
    convex for small τ, and its hump lies where training begins.

Minimiser:
    with hard labels the infimum, 0, lies at D = ∞, as for DPO. Derived here, for
    τ = 0.05: L has a minimum at M = −0.1186 (L = 0.786) and a maximum at M = 0.0720
    (L = 0.878). A pair that starts at M = 0 is pushed the WRONG way, to the minimum;
    a change that other pairs bring about must carry it over the hump. Checked by the
    sign of the gradient on a grid; for τ ≥ 0.2 there is no hump.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) a = σ(D), τ left out: equal only if β = τ.
    (3) the blend turned round: a on the logistic side.
    (4) no gradient through the blend: the values agree, the hump is gone.
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
    key="discopop",
    title="Discovered preference optimisation",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Lu et al. 2024 (2406.08414)",
    check="At M = 0 it is (1 + log 2)/2 and pushes the chosen response down.",
    claim="It reaches more gold reward than DPO although its link is not convex.",
    notebook="21b",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of DiscoPOP.

    Attributes:
        beta: reward units per nat.
        tau: width of the blend in M, reward units; below 1.
    """

    beta: float = 0.1  # TRL 1.16
    tau: float = 0.05  # paper, according to TRL 1.16


def link(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """The loss as a function of D alone."""
    scaled = cfg.beta * margin
    # a·exp(−M) in one exponential: the two factors are 0·∞ far on the wrong side
    exponential = (logsigmoid(scaled / cfg.tau) - scaled).exp()
    return (-scaled / cfg.tau).sigmoid() * -logsigmoid(scaled) + exponential


def weight(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """−dL/dD: negative on the hump, where a pair is pushed the wrong way."""
    scaled = cfg.beta * margin
    rest = (-scaled / cfg.tau).sigmoid()
    blend = rest * (scaled / cfg.tau).sigmoid() / cfg.tau
    exponential = (logsigmoid(scaled / cfg.tau) - scaled).exp()
    logistic = rest * (-scaled).sigmoid() - blend * logsigmoid(scaled)
    return cfg.beta * (logistic + exponential * (1 - rest / cfg.tau))


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """The blend of the logistic and the exponential link of each pair."""
    return link(batch.margin(), cfg)


def _blend(scaled: Tensor, a: Tensor) -> Tensor:
    return (1 - a) * -logsigmoid(scaled) + a * (-scaled).exp()


def _no_tau(batch: PairLogps, cfg: Config) -> Tensor:
    return _blend(cfg.beta * batch.margin(), batch.margin().sigmoid())


def _turned_round(batch: PairLogps, cfg: Config) -> Tensor:
    scaled = cfg.beta * batch.margin()
    return _blend(scaled, (-scaled / cfg.tau).sigmoid())


def _constant_blend(batch: PairLogps, cfg: Config) -> Tensor:
    scaled = cfg.beta * batch.margin()
    return _blend(scaled, (scaled.detach() / cfg.tau).sigmoid())


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 no tau in the blend": _no_tau,
    "3 blend turned round": _turned_round,
    "4 no gradient through the blend": _constant_blend,
    "5 no beta": edits.with_config(loss, beta=1.0),
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
