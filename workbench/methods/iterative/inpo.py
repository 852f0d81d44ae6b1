"""Iterative Nash policy optimisation: IPO in rounds, tied to π_ref and to itself.

Objective:
    h = D log π − (τ/η) D log π_ref − (1 − τ/η) D log π_t, D the difference chosen minus
    rejected and π_t the policy that began the round and wrote both.
    L = (h − 1/(2η))², or (h − (p − 1/2)/η)² with p = p(chosen ≻ rejected) if ``soft``.

Compared with IPO:
    the reference is the mixture π_ref^(τ/η) π_t^(1 − τ/η), and the pairs are new each
    round. In the first round π_t = π_ref, and it is IPO with its τ at our η.

Valid only if:
    0 < τ ≤ η and the two responses are drawn independently from π_t: pairs of the best
    and the worst of many do not have the minimiser below. A round is solved, not only
    begun. η must be large where preferences run in circles: for rock, paper, scissors
    won by 1/2 + d and uniform π_ref, rounds end only if 1/η < 2τ/(τ² + d²/3).

Fixed point:
    the minimiser of a round is π_{t+1} ∝ π_ref^(τ/η) π_t^(1 − τ/η) exp(p(y ≻ π_t)/η),
    a step of mirror descent. It stays where it is only at the Nash policy
    π*_τ ∝ π_ref exp(p(y ≻ π*_τ)/τ), for every η: no bias, unlike Nash-MD at a constant
    step. KL(π*_τ‖π_{t+1}) ≤ (1 − τ/η) KL(π*_τ‖π_t) + S²/(8η²), S the largest difference
    between two responses of p(y ≻ π_t) − τ log π_t/π_ref; so η_t = τ(t + 2)/2 gives
    S²/(2τ²(t + 1)) at π_t.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) target 1/η: twice too far.
    (3) π_ref left out (τ = 0): nothing holds the policy, and rounds circle.
    (4) π_t left out (τ = η): a best response in each round, and rounds jump.
    (5) the weights of π_ref and π_t exchanged.
    (6) a mean over tokens.
    (7) prompt or padding tokens counted: the mask ignored.
    (8) a gradient through π_ref and π_t.
    (9) p for p − 1/2 as the soft label.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.round_pairs import RoundPairLogps
from workbench.loops import rounds

card = Card(
    key="inpo",
    title="Iterative Nash policy optimisation",
    parents=("ipo",),
    needs=("rollouts", "preference oracle", "reference"),
    paper="Zhang et al. 2024 (2407.00617)",
    check="The gradient of a round vanishes at π_{t+1}; exact rounds end at π*_τ.",
    claim="Beats iterative DPO with a general oracle; the KL holds its length.",
    notebook="40a",
    loop=rounds,
    scale="tau",
)

LogDistribution = Float[Tensor, "*lead choice"]


@dataclass(frozen=True)
class Config:
    """Settings of INPO, preference probability per nat.

    Attributes:
        tau: pull to the reference; the game's τ.
        eta: pull to the mixture of reference and last iterate; 1/η is the step.
        soft: learn from p(chosen ≻ rejected) instead of a label that is drawn from it.
    """

    tau: float = 0.1  # as nash_md; paper: η/3
    eta: float = 0.3  # 3τ as in the paper, where η is 0.0075 for a model of 8B
    soft: bool = False  # paper: the oracle gives one bit per pair


def step(
    logps: LogDistribution,
    ref: LogDistribution,
    preference: Float[Tensor, "*#lead choice choice"],
    cfg: Config,
) -> LogDistribution:
    """One exact round: log π_{t+1} from log π_t, where p + pᵀ = 1."""
    wins = (preference @ logps.exp()[..., None])[..., 0]
    anchor = cfg.tau * ref + (cfg.eta - cfg.tau) * logps
    return ((anchor + wins) / cfg.eta).log_softmax(-1)


def mixed(
    ref: Float[Tensor, "batch time"], old: Float[Tensor, "batch time"], cfg: Config
) -> Float[Tensor, "batch time"]:
    """Token log-probs under π_ref^(τ/η) π_t^(1 − τ/η), up to its norm."""
    share = cfg.tau / cfg.eta
    return share * ref + (1 - share) * old


def loss(batch: RoundPairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Squared distance of h from its target, in nats²."""
    chosen = mixed(batch.ref_chosen, batch.old_chosen, cfg)
    rejected = mixed(batch.ref_rejected, batch.old_rejected, cfg)
    h = replace(batch, ref_chosen=chosen, ref_rejected=rejected).margin()
    wins = batch.preference.detach() if cfg.soft else 1.0
    return (h - (wins - 0.5) / cfg.eta) ** 2


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 target 1/eta": edits.with_config(
        loss, eta=lambda cfg: cfg.eta / 2, tau=lambda cfg: cfg.tau / 2
    ),
    "3 no reference": edits.with_config(loss, tau=0.0),
    "4 no last iterate": edits.with_config(loss, tau=lambda cfg: cfg.eta),
    "5 weights exchanged": edits.with_config(loss, tau=lambda cfg: cfg.eta - cfg.tau),
    "6 mean over tokens": edits.mean_over_tokens(loss),
    "7 prompt or padding counted": edits.mask_ignored(loss),
    "8 gradient through the reference": edits.through_reference(loss),
    "9 p for p minus one half": edits.with_batch(
        loss, preference=lambda batch: batch.preference + 0.5
    ),
}
