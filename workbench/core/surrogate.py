"""Policy-gradient surrogates: importance ratios and the two clips of PPO.

All of them work on tokens or on whole responses, whichever is the action.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def importance_ratio(
    logps: Float[Tensor, "*shape"], old_logps: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """ρ = π/π_old, with no gradient into π_old.

    Args:
        logps: log-probs under the policy that learns, in nats.
        old_logps: the same actions under the policy that sampled them.

    Returns:
        the ratio, at most e²⁰: far outside any clip, and finite in float32.
    """
    return (logps - old_logps.detach()).clamp(max=20).exp()


def clipped_gain(
    ratio: Float[Tensor, "*shape"], advantage: Float[Tensor, "*shape"], clip: float
) -> Float[Tensor, "*shape"]:
    """min(ρA, clip(ρ, 1 ± ε)A): no gain from moving further than the clip.

    The gradient is 0 exactly where A > 0 and ρ > 1 + ε, or A < 0 and ρ < 1 − ε. A step
    in the wrong direction is never clipped: that is what the minimum is for.

    Source: Schulman et al. 2017 (1707.06347), Eq. 7.
    """
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return torch.minimum(ratio * advantage.detach(), clipped * advantage.detach())


def clipped_weight(
    logratio: Float[Tensor, "*shape"], clip: float
) -> Float[Tensor, "*shape"]:
    """sg[clip(π/π_ref, 1 ± ε)]: a constant weight for a log-likelihood.

    Beyond the clip the weight stays at its edge and what it multiplies goes on
    learning, where ``clipped_gain`` stops.

    Args:
        logratio: log π − log π_ref of tokens or of whole responses, in nats.
        clip: ε; infinite for no clip.

    Source: Baheti et al. 2023 (2305.14718).
    """
    ratio = importance_ratio(logratio.detach(), torch.zeros_like(logratio))
    return ratio.clamp(1 - clip, 1 + clip)


def clipped_error(
    values: Float[Tensor, "*shape"],
    old_values: Float[Tensor, "*shape"],
    targets: Float[Tensor, "*shape"],
    clip: float,
) -> Float[Tensor, "*shape"]:
    """Half the squared error of V, the larger of V and V held near V_old.

    Args:
        values: V of the critic that learns, reward units.
        old_values: V when the responses were sampled.
        targets: returns.
        clip: how far V may leave V_old and still be pulled, reward units.

    Source: lm-human-preferences, train_policy.py.
    """
    old, targets = old_values.detach(), targets.detach()
    near = old + (values - old).clamp(-clip, clip)
    return torch.maximum((values - targets) ** 2, (near - targets) ** 2) / 2


def clip_fraction(
    ratio: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"], clip: float
) -> float:
    """Share of the masked tokens with ρ outside 1 ± ε; 0 as long as π = π_old."""
    return ((ratio - 1).abs()[mask] > clip).double().mean().item()
