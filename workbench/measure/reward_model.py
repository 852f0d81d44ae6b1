"""A score against the gold reward, over all pairs of responses: no labels, no noise."""

import torch
from jaxtyping import Float
from torch import Tensor

Table = Float[Tensor, "prompt response"]
Values = Float[Tensor, "pair"]


def population(
    ref: Table, score: Table, gold: Table, temperature: float = 1.0
) -> tuple[Values, Values, Values]:
    """All ordered pairs of two different responses drawn from π_ref.

    Args:
        ref: log of the law both responses are drawn from.
        score: what is judged, e.g. a reward model's scores or β·log(π/π_ref).
        gold: the reward that the annotator perceives.
        temperature: of the Bradley–Terry annotator, reward units.

    Returns:
        margins (score of the first minus that of the second), truth = p(first ≻
        second), and weights that add up to 1, prompts in equal shares. They have
        prompts × responses² entries: a million at three words, too many at five.
    """
    mass = ref.double().exp()
    weight = mass[:, :, None] * mass[:, None, :]
    weight = weight * (1 - torch.eye(ref.shape[-1], dtype=torch.float64))
    weight = weight / weight.sum((1, 2), keepdim=True) / len(ref)
    score, gold = score.double(), gold.double()
    margins = score[:, :, None] - score[:, None, :]
    truth = ((gold[:, :, None] - gold[:, None, :]) / temperature).sigmoid()
    return margins.flatten(), truth.flatten(), weight.flatten()


def against_truth(
    margins: Values, truth: Values, weight: Values | None = None
) -> dict[str, float]:
    """How far σ(margin) lies from the true probability, in expectation over pairs.

    Args:
        margins: score of the first minus score of the second, reward units.
        truth: p(first ≻ second).
        weight: how much each pair counts.

    Returns:
        accuracy: chance that the higher score is the one called better (ties one half);
        ceiling: the highest accuracy that any score has with these noisy labels;
        absolute: E|σ(margin) − p|; kl: E KL(p‖σ(margin)), nats a pair;
        slope: of the margins on the true log-odds, through 0 (1 is calibrated, above 1
        is overconfident).
    """
    d, p = margins.double(), truth.double()
    w = torch.ones_like(d) if weight is None else weight.double()
    w = w / w.sum()
    said = d.sigmoid()
    odds = torch.logit(p)
    called = 0.5 + 0.5 * d.sign()
    log = torch.nn.functional.logsigmoid
    gap = p * (log(odds) - log(d)) + (1 - p) * (log(-odds) - log(-d))
    return {
        "accuracy": (w * (called * p + (1 - called) * (1 - p))).sum().item(),
        "ceiling": (w * torch.maximum(p, 1 - p)).sum().item(),
        "absolute": (w * (said - p).abs()).sum().item(),
        "kl": (w * gap).sum().item(),
        "slope": ((w * d * odds).sum() / (w * odds**2).sum()).item(),
    }
