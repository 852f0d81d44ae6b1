"""Distributions over the responses of one list: targets from scores, and their price.

InfoNCA, the forward form of EXO, ADPO and the surrogate of BRAIn are one loss, the
cross-entropy below; they differ in the scores and in the logits that they put in.
"""

from jaxtyping import Float
from torch import Tensor


def log_targets(
    scores: Float[Tensor, "*batch group"], temperature: float
) -> Float[Tensor, "*batch group"]:
    """log softmax_k(score_k / temperature), a constant, in nats.

    Args:
        scores: one per response, reward units (or nats at temperature 1).
        temperature: reward units per nat; towards 0 all mass goes to the best.
    """
    return (scores.detach() / temperature).log_softmax(-1)


def targets(
    scores: Float[Tensor, "*batch group"], temperature: float
) -> Float[Tensor, "*batch group"]:
    """softmax_k(score_k / temperature), a constant: ``log_targets`` as numbers."""
    return log_targets(scores, temperature).exp()


def cross_entropy(
    target: Float[Tensor, "*batch group"], logits: Float[Tensor, "*batch group"]
) -> Float[Tensor, "*batch"]:
    """−Σ_k p_k log softmax_k(logits), in nats.

    The least value is the entropy of p, at logits = log p + c. The gradient in the
    logits is softmax(logits) − p, the Hessian diag(q) − qqᵀ with q = softmax(logits).

    Args:
        target: p, probabilities of the responses of a list.
        logits: finite; a constant added to all of a list changes nothing.
    """
    return -(target * logits.log_softmax(-1)).sum(-1)
