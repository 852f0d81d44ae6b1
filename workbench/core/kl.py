"""KL divergences, exact and estimated, in nats.

With l = log π(y) − log π_ref(y) and y drawn from π (Schulman 2020, "Approximating KL"):

    k1 = l            unbiased value, may be negative
    k2 = l² / 2       biased value, ≥ 0
    k3 = e^{−l} − 1 + l    unbiased value, ≥ 0

The value of an estimator and its gradient are two properties. Differentiated through
(samples held fixed), E∇k1 = 0, E∇k2 = ∇KL(π‖π_ref) and E∇k3 = ∇KL(π_ref‖π).
"""

import torch
from jaxtyping import Float
from torch import Tensor


def k1(logratio: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The log-ratio itself: unbiased for KL(π‖π_ref), and of either sign."""
    return logratio


def k2(logratio: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Half the squared log-ratio: biased value, and the right gradient."""
    return logratio**2 / 2


def k3(logratio: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """e^{−l} − 1 + l: unbiased and never negative; expm1 keeps small l exact."""
    return torch.expm1(-logratio) + logratio


def categorical_kl(
    logps: Float[Tensor, "*shape vocab"], ref_logps: Float[Tensor, "*shape vocab"]
) -> Float[Tensor, "*shape"]:
    """KL(π‖π_ref) of distributions given whole, as log-probabilities.

    Terms where π is 0 contribute 0; where π_ref alone is 0 the result is infinite.
    """
    gap = torch.where(logps == -torch.inf, 0.0, logps - ref_logps)
    return (logps.exp() * gap).sum(-1)
