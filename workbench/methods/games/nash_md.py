"""Nash-MD: play against yourself, pulled a little back towards the reference.

Objective:
    the game P(π ≻ π′) − τ KL(π‖π_ref) + τ KL(π′‖π_ref) for any preference p.
    One step of mirror descent: μ_t ∝ π_t^(1 − η_t τ) π_ref^(η_t τ), and
    π_{t+1} ∝ μ_t exp(η_t p(y ≻ μ_t)), with η_t = 2/(τ(t + 2)).
    On samples: L = −sg[p(y ≻ y′) − 1/2 − τ log π(y|x)/π_ref(y|x)] log π(y|x), with
    y from π and y′ from the ``mixture`` of π and π_ref.

Compared with RLOO:
    the reward is the chance to beat a moving opponent, and the baseline is 1/2.

Valid only if:
    the loop draws y′ from the mixture, without gradient. A constant η is biased: the
    mixture of its limit is the Nash policy of temperature τ/(1 − ητ), not of τ.

Fixed point:
    the Nash policy π*_τ ∝ π_ref exp(p(y ≻ π*_τ)/τ), with
    KL(π*_τ‖π_{t+1}) ≤ (1 − η_t τ) KL(π*_τ‖π_t) + 2η_t², hence ≤ 8/(τ²(t + 1)) at π_t.

Known mistakes:
    (1) each token's log-ratio times its own log-prob only (TRL): no credit across time.
    (2) a gradient into the bracket.
    (3) the KL left out.
    (4) the reference left out of the KL: an entropy bonus.
    (5) the preference of the opponent: p(y′ ≻ y).
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.game_rollouts import GameRollouts
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import games

card = Card(
    key="nash_md",
    title="Nash mirror descent",
    parents=("rloo",),
    needs=("rollouts", "preference oracle", "reference"),
    paper="Munos et al. 2023 (2312.00886)",
    check="A step leaves at most (1 − ητ) of KL to π*_τ, plus (ηS)²/8; S: spread of p.",
    claim="A small mixture beats self-play and best response to the reference.",
    notebook="40",
    loop=games,
    scale="tau",
    hooks=("opponent",),
)

LogDistribution = Float[Tensor, "*lead choice"]


@dataclass(frozen=True)
class Config:
    """Settings of Nash-MD.

    Attributes:
        tau: preference probability per nat of KL.
        mix: weight of the reference in the sampled opponent, 0 for self-play.
    """

    tau: float = 0.1  # TRL's NashMDConfig.beta; paper: 0.008 for a large model
    mix: float = 0.125  # paper: the best of its sweep are 0.125, 0.25 and 0.375


def schedule(t: int, cfg: Config) -> float:
    """η_t = 2/(τ(t + 2)) for t = 0, 1, …; the paper's last iterate needs it."""
    return 2 / (cfg.tau * (t + 2))


def mixture(
    logps: LogDistribution, ref: LogDistribution, weight: float
) -> LogDistribution:
    """Geometric mixture π^(1 − weight) π_ref^weight, normalised, as log-probs.

    Args:
        logps: log π over whole responses (tabular) or next tokens (sampling).
        ref: log π_ref over the same choices.
        weight: η_t τ in the tabular algorithm, ``cfg.mix`` for a sampled opponent.
    """
    return ((1 - weight) * logps + weight * ref).log_softmax(-1)


def opponent(
    logps: Float[Tensor, "*lead response"],
    ref: Float[Tensor, "*#lead response"],
    cfg: Config,
) -> Float[Tensor, "*lead response"]:
    """The distribution that the policy plays against: its mixture with π_ref."""
    return mixture(logps, ref, cfg.mix)


def step(
    logps: LogDistribution,
    ref: LogDistribution,
    preference: Float[Tensor, "*#lead choice choice"],
    eta: float,
    cfg: Config,
) -> LogDistribution:
    """One exact step: log π_{t+1} from log π_t.

    Args:
        logps: log π_t.
        ref: log π_ref.
        preference: p(row ≻ column), probabilities; p + pᵀ = 1.
        eta: step size η_t with η_t τ ≤ 1.
        cfg: for τ.
    """
    opponent = mixture(logps, ref, eta * cfg.tau)
    wins = (preference @ opponent.exp()[..., None])[..., 0]
    return (opponent + eta * wins).log_softmax(-1)


def loss(batch: GameRollouts, cfg: Config) -> Float[Tensor, " batch"]:
    """−sg[p − 1/2 − τ l(y)] log π(y|x) of each response."""
    logratio = sequence_logps(batch.policy - batch.ref, batch.mask)
    bracket = batch.preference - 0.5 - cfg.tau * logratio
    return -bracket.detach() * sequence_logps(batch.policy, batch.mask)


def _token_by_token(batch: GameRollouts, cfg: Config) -> Tensor:
    lead = (batch.preference - 0.5)[:, None]
    bracket = lead - cfg.tau * (batch.policy - batch.ref)
    return -sequence_logps(bracket.detach() * batch.policy, batch.mask)


def _not_stopped(batch: GameRollouts, cfg: Config) -> Tensor:
    inner = ResponseLogps(batch.policy, batch.ref, batch.mask)
    return -(batch.preference - 0.5 - cfg.tau * inner.logratio()) * inner.logps()


mistakes = {
    "1 KL token by token": _token_by_token,
    "2 gradient into the bracket": _not_stopped,
    "3 no KL": edits.with_config(loss, tau=0.0),
    "4 no reference": edits.no_reference(loss),
    "5 preference of the opponent": edits.swapped(loss),
}
