"""Numbers that other worlds can only estimate, in nats and reward units.

Every function takes log-probabilities over ALL responses, on the last axis; leading
axes (seed, prompt) broadcast. Average over prompts yourself: the prompt is part of the
question, never of the response.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.divergences import Divergence
from workbench.core.kl import categorical_kl

LogDistribution = Float[Tensor, "*lead response"]
Reward = Float[Tensor, "*#lead response"]
_BISECTIONS = 200  # float64 has no number left between the two ends


def expectation(logps: LogDistribution, values: Reward) -> Float[Tensor, "*lead"]:
    """E_π[values]."""
    return (logps.exp() * values).sum(-1)


def covariance(
    logps: LogDistribution, first: Reward, second: Reward
) -> Float[Tensor, "*lead"]:
    """Cov_π(first, second)."""
    product = expectation(logps, first * second)
    return product - expectation(logps, first) * expectation(logps, second)


def kl(logps: LogDistribution, ref: Reward) -> Float[Tensor, "*lead"]:
    """KL(π‖π_ref), nats per sequence; the reverse direction swaps the arguments."""
    return categorical_kl(logps, ref.expand_as(logps))


def chi2(logps: LogDistribution, ref: Reward) -> Float[Tensor, "*lead"]:
    """χ²(π‖π_ref) = E_ref[(π/π_ref)²] − 1."""
    # what π never writes counts nothing, also where π_ref never writes it: no ∞ − ∞
    squared = torch.where(logps == -torch.inf, -torch.inf, 2 * logps - ref)
    return torch.expm1(squared.logsumexp(-1))


def entropy(logps: LogDistribution) -> Float[Tensor, "*lead"]:
    """−E_π[log π], nats per sequence."""
    return -(logps.exp() * logps.clamp(min=-1e30)).sum(-1)


def log_partition(
    ref: LogDistribution, reward: Reward, beta: float
) -> Float[Tensor, "*lead"]:
    """log Z(x) = log Σ_y π_ref(y|x) exp(r(x, y)/β)."""
    return (ref + reward / beta).logsumexp(-1)


def optimal_policy(
    ref: LogDistribution, reward: Reward, beta: float
) -> LogDistribution:
    """log π*_β, the maximiser of E_π[r] − β KL(π‖π_ref).

    Args:
        ref: log π_ref.
        reward: r(x, y), reward units.
        beta: reward units per nat, positive.

    Source: π* ∝ π_ref exp(r/β), e.g. Rafailov et al. 2023 (2305.18290), Eq. 4.
    """
    return (ref + reward / beta).log_softmax(-1)


def frontier(ref: LogDistribution, proxy: Reward, gold: Reward, betas):
    """Where π*_β of the proxy lies, for each β, averaged over prompts.

    Args:
        ref: log π_ref, [prompt, response].
        proxy: the reward that is optimised.
        gold: the reward that is meant; pass the proxy again for its own frontier.
        betas: temperatures, reward units per nat.

    Returns:
        DataFrame[beta, kl, gold, proxy, covariance], covariance of gold and proxy
        under π*_β: gold peaks along the path where it changes sign.
    """
    import pandas as pd

    rows = []
    for beta in map(float, betas):
        best = optimal_policy(ref, proxy, beta)
        row = {
            "beta": beta,
            "kl": kl(best, ref),
            "gold": expectation(best, gold),
            "proxy": expectation(best, proxy),
            "covariance": covariance(best, gold, proxy),
        }
        rows.append({k: v if k == "beta" else v.mean().item() for k, v in row.items()})
    return pd.DataFrame(rows)


def f_divergence(
    logps: LogDistribution, ref: Reward, divergence: Divergence
) -> Float[Tensor, "*lead"]:
    """D_f(π‖π_ref) = E_ref[f(π/π_ref)], in nats for the KL family.

    Responses that π_ref never writes count sup f′ times their mass under π.

    Args:
        logps: log π.
        ref: log π_ref.
        divergence: the generator f.
    """
    never = ref == -torch.inf
    ratio = torch.where(never, 1.0, (logps - torch.where(never, 0.0, ref)).exp())
    within = torch.where(never, 0.0, ref.exp() * divergence.generator(ratio))
    outside = torch.where(never, logps.exp(), 0.0).sum(-1)
    return within.sum(-1) + torch.where(outside > 0, divergence.supremum * outside, 0.0)


def optimal_policy_f(
    ref: LogDistribution, reward: Reward, beta: float, divergence: Divergence
) -> LogDistribution:
    """The maximiser of E_π[r] − β D_f(π‖π_ref), as log-probs.

    r = β f′(π/π_ref) + λ, with λ found by bisection in float64: the total mass falls in
    λ, is at most 1 at λ = max r and at least 1 at min r or where f′ ends.

    Args:
        ref: log π_ref.
        reward: r(x, y), reward units.
        beta: reward units per unit of the divergence, positive.
        divergence: with f′(0) = −∞, so that no response of π_ref is left out.

    Source: Wang et al. 2023 (2309.16240); checked by its stationarity.
    """
    ref, reward = torch.broadcast_tensors(ref.double(), reward.double())
    known = ref > -torch.inf
    high = torch.where(known, reward, -torch.inf).amax(-1, keepdim=True)
    low = torch.where(known, reward, torch.inf).amin(-1, keepdim=True)
    low = torch.maximum(low, high - beta * divergence.supremum)

    def log_probs_at(shift: Tensor) -> Tensor:
        slope = torch.where(known, (reward - shift) / beta, 0.0)
        return ref + divergence.log_density(slope)

    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        # where f′ ends the mass is NaN, which is not light
        light = log_probs_at(middle).logsumexp(-1, keepdim=True) <= 0
        low, high = torch.where(light, low, middle), torch.where(light, middle, high)
    # at the upper end every slope is in the domain
    return log_probs_at(high).log_softmax(-1)


def optimal_policy_chi2(
    ref: LogDistribution, reward: Reward, coefficient: float
) -> LogDistribution:
    """The maximiser of E_π[R] − c χ²(π‖π_ref), χ² = E_ref[(u − 1)²] without a half.

    π = π_ref max(0, R − ν)/(2c), a linear tilt; responses below ν get −inf. For every
    set S of responses E_ref[(R − ν) 1_S] ≤ 2c with equality at the right one, so ν is
    the largest (E_ref[R 1_S] − 2c)/π_ref(S) over the sets of the k best responses.

    Args:
        ref: log π_ref.
        reward: R(x, y), reward units.
        coefficient: c, reward units per unit of χ², positive.

    Source: Laidlaw et al. 2024 (2403.03185) for the penalty; ν derived here.
    """
    ref, reward = torch.broadcast_tensors(ref.double(), reward.double())
    gain = reward - reward.amax(-1, keepdim=True)
    ranked, order = gain.sort(-1, descending=True)
    mass = ref.exp().gather(-1, order)
    sets = (mass * ranked).cumsum(-1) - 2 * coefficient
    floor = (sets / mass.cumsum(-1)).amax(-1, keepdim=True)
    return (ref + (gain - floor).clamp(min=0).log()).log_softmax(-1)
