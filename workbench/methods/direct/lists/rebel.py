"""REBEL: differences of log-ratios are regressed on differences of rewards.

Objective:
    L = Σ_{i>j} ((d_i − d_j)/η − (r_i − r_j))²,  d = log π(y)/π_t(y), sums over response
    tokens; "nats": L = Σ_{i>j} ((d_i − d_j) − η(r_i − r_j))², the official code, which
    is η² times the first: the same minimiser at another step size. A sum over the pairs
    of a list (each once), not a mean; K = 2 is one pair.

Compared with COPG:
    π_t, the policy that sampled, stands where the reference stood, and η for 1/β. At
    π_t = π_ref and η = 1/β the gradient is 2β(K − 1) times that of CoPG ("nats":
    2(K − 1)/β). Compared with IPO, the target is η(r_i − r_j) and not 1/(2τ).

Valid only if:
    ``batch.ref`` is π_t: the reference if there is one round, else the snapshot that
    drew the responses. A KL to the first reference goes into the scores,
    r ← r − κ(log π_t − log π_ref), and not into the loss.

Minimiser:
    π_t exp(η r)/Z for any weights of the pairs that connect all responses. T exact
    rounds from π_0 are T steps of mirror descent, π_T ∝ π_0 exp(η Σ r).

Known mistakes:
    (1) the reward difference turned round.
    (2) η on the wrong side: d·η against r, or d against r/η.
    (3) the snapshot left out: log-probs in place of log-ratios.
    (4) a mean over tokens.
    (5) rewards centred per list and regressed one by one: log Z must then be 0.
    (6) the mean over the pairs: the step shrinks as lists grow.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.pairwise_sums import differences, unordered_sum
from workbench.feedback.kinds.lists import ListLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline

card = Card(
    key="rebel",
    title="Regression to relative rewards",
    parents=("copg", "ipo"),
    needs=("lists", "reward", "reference"),
    paper="Gao et al. 2024 (2404.16767)",
    check="The minimiser is π_t exp(η r)/Z; exact rounds are mirror descent.",
    claim="It matches PPO with a regression in place of critic and clipping.",
    notebook="28b",
    loop=offline,
    hooks=("implicit_reward", "optimum"),
)


@dataclass(frozen=True)
class Config:
    """Settings of REBEL.

    Attributes:
        eta: nats per reward unit; the step of mirror descent.
        units: the residual is in reward units (paper) or in nats (official code).
    """

    eta: float = 1.0  # official code; its run ultrafeedback_largebatch: 1e6
    units: Literal["reward", "nats"] = "reward"  # paper; official code: "nats"


def optimum(cfg: Config) -> float:
    """1/η, reward units per nat: one exact round is π*_β of its start."""
    return 1 / cfg.eta


def implicit_reward(responses: ResponseLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """log π/π_t divided by η, reward units."""
    return responses.logratio() / cfg.eta


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """Squared residuals of the pairs, summed over each list."""
    earned = differences(batch.scores.detach())
    apart = differences(batch.logratio())
    if cfg.units == "nats":
        return unordered_sum((apart - cfg.eta * earned) ** 2)
    return unordered_sum((apart / cfg.eta - earned) ** 2)


def _one_by_one(batch: ListLogps, cfg: Config) -> Tensor:
    centred = batch.scores - batch.scores.mean(-1, keepdim=True)
    return ((batch.logratio() / cfg.eta - centred) ** 2).sum(-1)


def _mean_over_pairs(batch: ListLogps, cfg: Config) -> Tensor:
    group = batch.scores.shape[-1]
    return loss(batch, cfg) * 2 / (group * (group - 1))


mistakes = {
    "1 reward difference turned round": edits.swapped(loss),
    "2 eta on the wrong side": edits.with_config(loss, eta=lambda cfg: 1 / cfg.eta),
    "3 no snapshot": edits.no_reference(loss),
    "4 mean over tokens": edits.mean_over_tokens(loss),
    "5 one by one": _one_by_one,
    "6 mean over pairs": _mean_over_pairs,
}
