"""χ²-regularised optimum: the closed form for a reward that is known to be a proxy.

Objective:
    max E_π[R] − c χ²(π‖π_ref), or E_π[R] − λ √χ²(π‖π_ref), χ² = E_ref[(u − 1)²],
    u = π/π_ref. A response is one action here, so the occupancy of the paper is π.

Compared with χPO:
    the reward is known and nothing is trained. χ² has no half and no KL beside it, so
    responses are left out altogether, and no link of log-ratios can reach this optimum.

Valid only if:
    all responses are enumerated, or π can be drawn from π_ref with weights u. From
    samples of π, χ² is E_π[u] − 1: heavy-tailed.

Fixed point:
    π = π_ref max(0, R − ν)/E_ref[max(0, R − ν)], linear in the reward, in both cases.
    c = E_ref[max(0, R − ν)]/2 with χ²; with √χ², λ² = Var_ref[max(0, R − ν)], where
    c = λ/(2√χ²). Derived here: λ ≥ sd_ref(R) leaves π_ref as it is. For gold G with
    correlation ρ to R under π_ref, every π has (Cauchy–Schwarz; ``gold_floor``)
    ΔG/sd(G) ≥ ρ ΔR/sd(R) − √((1 − ρ²) χ²), so for ρ > 0 the √χ² optimum with
    λ = sd(R) √(1 − ρ²)/ρ has the best guaranteed gold; ρ² ≤ ½ guarantees no gain.

Known mistakes:
    (1) χPO's half: c twice as strong as meant.
    (2) ν of the untruncated problem, 1 + (R − E_ref[R])/(2c), cut at 0 afterwards.
    (3) the exponential tilt, which is that of a KL.
    (4) the root forgotten: λ used as c.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.card import Card
from workbench.worlds import solutions

card = Card(
    key="chi2_direct",
    title="χ²-regularised optimum",
    parents=("chipo",),
    needs=("reward", "reference"),
    paper="Laidlaw et al. 2024 (2403.03185)",
    check="No policy is worth more, and gold is above its floor for every policy.",
    claim="At equal proxy gain, more gold than a KL where errors are heavy-tailed.",
    notebook="23a",
)

LogDistribution = Float[Tensor, "*lead response"]
Scores = Float[Tensor, "*#lead response"]
_BISECTIONS = 200


@dataclass(frozen=True)
class Config:
    """Settings of the optimum.

    Attributes:
        coefficient: c, reward units per unit of χ²; or λ, per unit of √χ².
        root: penalise √χ² rather than χ².
    """

    coefficient: float = 0.1  # authors' grid 0.01 to 1, times the sd of R under π_ref
    root: bool = True  # the authors' preferred form


def _root_log_distribution(ref: Tensor, reward: Tensor, strength: float) -> Tensor:
    known = ref > -torch.inf
    best = torch.where(known, reward, -torch.inf).amax(-1, keepdim=True)
    gain = torch.where(known, reward - best, 0.0)
    mass = ref.exp()

    def spread(floor: Tensor) -> Tensor:
        above = (gain - floor).clamp(min=0)
        mean = (mass * above).sum(-1, keepdim=True)
        return (mass * (above - mean) ** 2).sum(-1, keepdim=True)

    low, high = gain.amin(-1, keepdim=True), torch.zeros_like(best)
    gentle = spread(low) <= strength**2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        wide = spread(middle) > strength**2
        low, high = torch.where(wide, middle, low), torch.where(wide, high, middle)
    log_probs = (ref + (gain - low).clamp(min=0).log()).log_softmax(-1)
    return torch.where(gentle, ref.log_softmax(-1), log_probs)


def log_distribution(
    ref_logps: LogDistribution, reward: Scores, cfg: Config
) -> LogDistribution:
    """Exact log-probability of every response, float64; −inf where it is left out.

    Args:
        ref_logps: log π_ref of every response.
        reward: the proxy R, reward units.
        cfg: which penalty, and how strong.
    """
    if not cfg.root:
        return solutions.optimal_policy_chi2(ref_logps, reward, cfg.coefficient)
    ref, reward = torch.broadcast_tensors(ref_logps.double(), reward.double())
    return _root_log_distribution(ref, reward, cfg.coefficient)


def gold_floor(
    logps: LogDistribution, ref_logps: Scores, proxy: Scores, gold: Scores
) -> Float[Tensor, "*lead"]:
    """The least E_π[gold] that proxy, χ² and their correlation under π_ref allow."""
    ref = ref_logps.expand_as(logps)
    spreads = [solutions.covariance(ref, r, r).sqrt() for r in (proxy, gold)]
    rho = solutions.covariance(ref, proxy, gold) / (spreads[0] * spreads[1])
    gain = (
        solutions.expectation(logps, proxy) - solutions.expectation(ref, proxy)
    ) / spreads[0]
    distance = solutions.chi2(logps, ref).clamp(min=0)  # rounding: π_ref itself
    lost = ((1 - rho**2).clamp(min=0) * distance).sqrt()
    return solutions.expectation(ref, gold) + spreads[1] * (rho * gain - lost)


def _cut_afterwards(ref_logps: Tensor, reward: Tensor, cfg: Config) -> Tensor:
    centred = reward - solutions.expectation(ref_logps, reward)[..., None]
    ratio = (1 + centred / (2 * cfg.coefficient)).clamp(min=0)
    return (ref_logps + ratio.log()).log_softmax(-1)


mistakes: dict[str, Callable[[Tensor, Tensor, Config], Tensor]] = {
    "1 half a chi-square": lambda ref_logps, reward, cfg: log_distribution(
        ref_logps, reward, Config(cfg.coefficient / 2, cfg.root)
    ),
    "2 cut afterwards": _cut_afterwards,
    "3 exponential tilt": lambda ref_logps, reward, cfg: solutions.optimal_policy(
        ref_logps, reward, cfg.coefficient
    ),
    "4 root forgotten": lambda ref_logps, reward, cfg: log_distribution(
        ref_logps, reward, Config(cfg.coefficient, root=False)
    ),
}
