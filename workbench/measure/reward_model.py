"""A score compared with the gold reward over all pairs of responses, without labels."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.feedback.annotator import Annotator
from workbench.measure import calibration
from workbench.worlds import solutions

Table = Float[Tensor, "prompt response"]
Values = Float[Tensor, "pair"]


def population(
    ref: Table, score: Table, gold: Table, temperature: float = 1.0
) -> tuple[Values, Values, Values]:
    """All ordered pairs of two different responses drawn from π_ref.

    Args:
        ref: log of the distribution that both responses are drawn from.
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
        absolute: E|σ(margin) − p|; kl: E KL(p‖σ(margin)), nats per pair;
        slope: of the margins on the true log-odds, through 0 (1 is calibrated, above 1
        is overconfident).
    """
    d, p = margins.double(), truth.double()
    w = torch.ones_like(d) if weight is None else weight.double()
    w = w / w.sum()
    stated = d.sigmoid()
    odds = torch.logit(p)
    called = 0.5 + 0.5 * d.sign()
    log = torch.nn.functional.logsigmoid
    gap = p * (log(odds) - log(d)) + (1 - p) * (log(-odds) - log(-d))
    return {
        "accuracy": (w * (called * p + (1 - called) * (1 - p))).sum().item(),
        "ceiling": (w * torch.maximum(p, 1 - p)).sum().item(),
        "absolute": (w * (stated - p).abs()).sum().item(),
        "kl": (w * gap).sum().item(),
        "slope": ((w * d * odds).sum() / (w * odds**2).sum()).item(),
    }


def accuracy_by_strength(
    margins: Values, truth: Values, edges: Sequence[float], weight: Values | None = None
) -> list[float]:
    """Accuracy on close, clearer and clear pairs, each against its own ceiling.

    Args:
        margins: score of the first minus score of the second, reward units.
        truth: p(first ≻ second); its log-odds are the strength of a pair.
        edges: rising, above 0, in reward units: between one bucket and the next.
        weight: how much each pair counts.

    Returns:
        of each bucket the accuracy minus its ceiling, at most 0; NaN if it is empty.
    """
    w = torch.ones_like(margins) if weight is None else weight
    strength = torch.logit(truth.double()).abs()
    where = torch.bucketize(strength, torch.tensor(edges, dtype=torch.float64))
    found = []
    for bucket in range(len(edges) + 1):
        here = where == bucket
        told = against_truth(margins[here], truth[here], w[here])
        lost = told["accuracy"] - told["ceiling"]
        found.append(lost if bool(here.any()) else float("nan"))
    return found


def parts(
    ref: Table, score: Table, gold: Table, words: Int[Tensor, " response"]
) -> dict[str, float]:
    """What a score is made of: score = level(prompt) + a·gold + b·words + rest.

    Least squares over the responses of π_ref, each prompt with a level of its own,
    which comparisons cannot see, and in equal shares.

    Args:
        ref: log π_ref.
        score: what is taken apart, reward units.
        gold: what should have been learned.
        words: length of each response; not all equal, and no multiple of gold.

    Returns:
        gold: a, 1 where the scale is that of gold; word: b, reward units per word;
        rest: standard deviation of what neither explains; level: standard deviation
        over prompts of the mean score. All of them under π_ref.
    """
    mass, score = ref.double().exp(), score.double()
    columns = [score, gold.double(), words.double().expand_as(score)]
    means = [(mass * column).sum(-1, keepdim=True) for column in columns]
    roots = (mass / len(ref)).sqrt()
    target, *known = (
        (roots * (column - mean)).flatten()
        for column, mean in zip(columns, means, strict=True)
    )
    design = torch.stack(known, 1)
    found = torch.linalg.lstsq(design, target[:, None]).solution[:, 0]
    return {
        "gold": found[0].item(),
        "word": found[1].item(),
        "rest": (target - design @ found).norm().item(),
        "level": means[0].std(correction=0).item(),
    }


def regret(ref: Table, score: Table, gold: Table, beta: float) -> float:
    """What the optimal policy of a score lacks of max E[gold] − β·KL(π‖π_ref).

    It is β·KL(π̂‖π*) with π̂ optimal for the score and π* for gold, at the same β.

    Args:
        ref: log π_ref.
        score: what the policy takes for its reward, reward units.
        gold: what it should have taken.
        beta: price of a nat, reward units.

    Returns:
        reward units, the mean over prompts.
    """
    made, best = (solutions.optimal_policy(ref, r, beta) for r in (score, gold))
    return beta * solutions.kl(made, best).mean().item()


def kept_from(ref: Table, score: Table, share: float) -> Float[Tensor, " prompt"]:
    """From which prompts the best responses come if scores of all are compared.

    Args:
        ref: log π_ref, which answers all prompts equally often.
        score: reward units; the responses that it puts first are kept.
        share: of the responses, by probability; a response is kept whole or not at all.

    Returns:
        share of each prompt among those that are kept.
    """
    order = score.flatten().argsort(descending=True, stable=True)
    mass = ref.double().exp().flatten()[order]
    mass = mass * (mass.cumsum(0) <= share * len(ref))
    kept = torch.zeros(len(ref), dtype=torch.float64)
    kept = kept.index_add(0, order // ref.shape[-1], mass)
    return kept / kept.sum()


class HeldOut:
    """What a reward model is worth on held-out pairs, against their true probability.

    Args:
        world: an enumerable world.
        ref: log π_ref, under which the spread of the scores is measured.
        pairs: comparisons that no model has seen; their labels are not used.
        annotator: whose labels are to be foretold; None is one without faults.

    Attributes:
        chance: the annotator's true p(chosen ≻ rejected) of each pair.
    """

    def __init__(self, world, ref: Table, pairs, annotator: Annotator | None = None):
        self.world, self.ref = world, ref.detach().double()
        self.prompt = pairs.chosen.prompt
        self.sides = pairs.chosen.response, pairs.rejected.response
        gold = [world.gold[self.prompt, side] for side in self.sides]
        words = [world.n_words[side] for side in self.sides]
        self.chance = (annotator or Annotator()).probability(*gold, *words)

    def margins(self, score: Table) -> Values:
        """Score of the chosen minus score of the rejected response of each pair."""
        first, second = self.sides
        return score[self.prompt, first] - score[self.prompt, second]

    def of(self, score: Table) -> dict[str, float]:
        """The measures of one table of scores.

        Returns:
            accuracy and its ceiling (see ``against_truth``); nll: expected negative
            log-likelihood of a fresh label, nats per pair; ece and temperature: see
            ``calibration``; spread: standard deviation of the scores under π_ref.
        """
        d, log = self.margins(score).double(), torch.nn.functional.logsigmoid
        told = against_truth(d, self.chance)
        nll = -(self.chance * log(d) + (1 - self.chance) * log(-d)).mean().item()
        variance = solutions.covariance(self.ref, score, score).mean().item()
        return {
            "accuracy": told["accuracy"],
            "ceiling": told["ceiling"],
            "nll": nll,
            "ece": calibration.ece(d.sigmoid(), self.chance),
            "temperature": calibration.temperature(d, self.chance),
            "spread": variance**0.5,
        }

    def __call__(self, model):
        """The measures of every member of a reward model, one row each."""
        return _of_members(self, model)


class ScoreParts:
    """What the scores of a reward model are made of, and what its policy costs.

    Args:
        world: an enumerable world.
        ref: log π_ref.
        beta: price of a nat for the policy whose regret is told, reward units.
    """

    def __init__(self, world, ref: Table, beta: float):
        self.world, self.ref, self.beta = world, ref.detach().double(), beta

    def of(self, score: Table) -> dict[str, float]:
        """``parts`` of one table of scores, and its ``regret``."""
        gold = self.world.gold
        cost = regret(self.ref, score.double(), gold, self.beta)
        made = parts(self.ref, score, gold, self.world.n_words)
        return made | {"regret": cost}

    def __call__(self, model):
        """The parts of every member of a reward model, one row each."""
        return _of_members(self, model)


def _of_members(measure: HeldOut | ScoreParts, model):
    import pandas as pd

    tables = model.score_all(measure.world)
    tables = tables if tables.ndim == 3 else tables[None]
    return pd.DataFrame([measure.of(table) for table in tables])
