"""Numbers that other worlds can only estimate, in nats and reward units.

Every function takes log-probabilities over ALL responses, on the last axis; leading
axes (seed, prompt) broadcast. Average over prompts yourself: the prompt is part of the
question, never of the response.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.kl import categorical_kl

LogLaw = Float[Tensor, "*lead response"]
Reward = Float[Tensor, "*#lead response"]


def expectation(logps: LogLaw, values: Reward) -> Float[Tensor, "*lead"]:
    """E_π[values]."""
    return (logps.exp() * values).sum(-1)


def covariance(logps: LogLaw, first: Reward, second: Reward) -> Float[Tensor, "*lead"]:
    """Cov_π(first, second)."""
    product = expectation(logps, first * second)
    return product - expectation(logps, first) * expectation(logps, second)


def kl(logps: LogLaw, ref: Reward) -> Float[Tensor, "*lead"]:
    """KL(π‖π_ref), nats a sequence; the reverse direction swaps the arguments."""
    return categorical_kl(logps, ref.expand_as(logps))


def chi2(logps: LogLaw, ref: Reward) -> Float[Tensor, "*lead"]:
    """χ²(π‖π_ref) = E_ref[(π/π_ref)²] − 1."""
    return torch.expm1((2 * logps - ref).logsumexp(-1))


def entropy(logps: LogLaw) -> Float[Tensor, "*lead"]:
    """−E_π[log π], nats a sequence."""
    return -(logps.exp() * logps.clamp(min=-1e30)).sum(-1)


def log_partition(ref: LogLaw, reward: Reward, beta: float) -> Float[Tensor, "*lead"]:
    """log Z(x) = log Σ_y π_ref(y|x) exp(r(x, y)/β)."""
    return (ref + reward / beta).logsumexp(-1)


def optimal_policy(ref: LogLaw, reward: Reward, beta: float) -> LogLaw:
    """log π*_β, the maximiser of E_π[r] − β KL(π‖π_ref).

    Args:
        ref: log π_ref.
        reward: r(x, y), reward units.
        beta: reward units per nat, positive.

    Source: π* ∝ π_ref exp(r/β), e.g. Rafailov et al. 2023 (2305.18290), Eq. 4.
    """
    return (ref + reward / beta).log_softmax(-1)


def frontier(ref: LogLaw, proxy: Reward, gold: Reward, betas):
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
