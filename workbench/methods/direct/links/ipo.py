"""Identity preference optimisation: pull every margin to a finite target.

Objective:
    L = (D − 1/(2τ))²,  D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r).

Compared with DPO:
    the logistic link of βD is replaced by a square around 1/(2τ). Nothing multiplies D.

Valid only if:
    the two responses of a pair are drawn independently from one distribution μ; with
    other pairs the minimiser below is wrong. The unit of the target follows ``reduce``:
    1/(2τ) nats per response for "sum", 1/(2τ) nats per token for "mean".

Minimiser:
    π ∝ π_ref exp(p(y ≻ μ)/τ) for any preference p, intransitive ones too. It depends on
    μ, unlike that of DPO. A pair that is always won ends at D = 1/(2τ); DPO's runs off
    to infinity for every β.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) τ multiplied into D, as β is in DPO.
    (3) target 1/τ: twice too far.
    (4) always a mean over tokens: TRL and HALOs, whatever ``reduce`` says.
    (5) prompt or padding tokens counted: the mask ignored.
    (6) a gradient through the reference: the values agree, the training does not.
    (7) length counted by non-zero log-ratios (HALOs): 0/0 at the first step.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import Reduce
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="ipo",
    title="Identity preference optimisation",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Azar et al. 2023 (2310.12036)",
    check="For any preference matrix the minimiser is ∝ π_ref exp(p(y ≻ μ)/τ).",
    claim="On deterministic preferences its KL stays finite; that of DPO grows.",
    notebook="21",
    loop=offline,
    scale="tau",
)


@dataclass(frozen=True)
class Config:
    """Settings of IPO.

    Attributes:
        tau: strength of the pull to the reference, preference probability per nat.
        reduce: ``"sum"`` for nats per response, ``"mean"`` for nats per token.
    """

    tau: float = 0.1  # TRL and HALOs, where it is called beta
    reduce: Reduce = "sum"  # paper, Eq. 17; TRL and HALOs use "mean"


def link(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """The loss as a function of D alone."""
    return (margin - 1 / (2 * cfg.tau)) ** 2


def weight(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """−dL/dD = 2(1/(2τ) − D): negative once a pair is past its target."""
    return 2 * (1 / (2 * cfg.tau) - margin)


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Squared distance of D from 1/(2τ) of each pair, in nats²."""
    return link(batch.margin(cfg.reduce), cfg)


def _tau_times_margin(batch: PairLogps, cfg: Config) -> Tensor:
    return link(cfg.tau * batch.margin(cfg.reduce), cfg)


def _length_by_ratio(batch: PairLogps, cfg: Config) -> Tensor:
    def per_token(side: ResponseLogps) -> Tensor:
        changed = ((side.policy - side.ref.detach()) != 0) & side.mask
        return side.logratio() / changed.sum(-1)

    return link(per_token(batch.chosen) - per_token(batch.rejected), cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 tau multiplied into the margin": _tau_times_margin,
    "3 target 1/tau": edits.with_config(loss, tau=lambda cfg: cfg.tau / 2),
    "4 always a mean over tokens": edits.with_config(loss, reduce="mean"),
    "5 prompt or padding counted": edits.mask_ignored(loss),
    "6 gradient through the reference": edits.through_reference(loss),
    "7 length counted by non-zero log-ratios": _length_by_ratio,
}
