"""What a training command records along the way: exact numbers, or estimates."""

import torch
from torch import Tensor

from workbench.core.memory import rows_at_once
from workbench.feedback.kinds.pairs import Pairs
from workbench.measure import drift, exact, implicit_reward
from workbench.train.sources import Source
from workbench.worlds.stories import estimate

MOST_TRAINING_PAIRS = 200  # training pairs that are measured, the first ones


class Rewards:
    """Implicit rewards of held-out pairs, and how well training pairs are ordered.

    Args:
        source: the reference and the pairs.
        seed: of the run.
        beta: reward units per nat.
    """

    def __init__(self, source: Source, seed: int, beta: float):
        self.beta, self.sets = beta, []
        seen = source.pairs(seed)[slice(0, MOST_TRAINING_PAIRS)]
        for pairs in (source.held_out(seed), seen):
            time = pairs.both.ids.shape[1]
            chunk = max(1, rows_at_once(source.reference, time) // 2)
            ref = pairs.reference_logps(source.reference)
            self.sets.append((pairs, ref, chunk))

    def __call__(self, policy):
        """DataFrame[seed, chosen, rejected, margin, accuracy, train_margin, …]."""
        frames = [
            implicit_reward.of_pairs(policy, pairs, ref, self.beta, chunk=chunk)
            for pairs, ref, chunk in self.sets
        ]
        held, seen = frames
        for name in ("margin", "accuracy"):
            held[f"train_{name}"] = seen[name]
        return held


class Sampled:
    """Drift, and gold reward where there is one, estimated from fresh samples.

    The KL estimate is the whole-vocabulary KL at every sampled prefix: unbiased, with
    less noise than a mean of log-ratios.
    """

    def __init__(self, source: Source, seed: int):
        self.source, self.seed = source, seed

    def __call__(self, policy):
        """DataFrame[seed, kl, kl_stderr, kl_low, kl_high, length(, gold, …)]."""
        import pandas as pd

        tokens = self.source.sample(policy, self.seed)
        columns = {"kl": self._kl(policy, tokens)}
        if self.source.world is not None:
            columns["gold"] = self.source.world.gold_reward(tokens)
        row = {"seed": 0, "length": tokens.lengths.double().mean().item()}
        for name, values in columns.items():
            mean, stderr, low, high, _ = estimate(values)
            row |= {name: mean, f"{name}_stderr": stderr}
            row |= {f"{name}_low": low, f"{name}_high": high}
        return pd.DataFrame([row])

    def _kl(self, policy, tokens) -> Tensor:
        size = rows_at_once(policy, tokens.ids.shape[1])
        parts = [
            drift.sequence_values(policy, self.source.reference, tokens[rows])
            for rows in torch.arange(len(tokens)).split(size)
        ]
        return torch.cat([part["rao-blackwell"][0] for part in parts])


class Scores:
    """How well a reward model orders pairs; against gold where it is known."""

    def __init__(self, source: Source, seed: int):
        self.source = source
        self.held = source.held_out(seed)
        self.seen = source.pairs(seed)[slice(0, MOST_TRAINING_PAIRS)]

    def __call__(self, model):
        """DataFrame[seed, accuracy, margin, nll, train_accuracy(, …)], a row."""
        import pandas as pd

        margin = margins(model, self.held)
        right = 0.5 + 0.5 * margin.sign()
        row = {
            "seed": 0,
            "accuracy": right.mean().item(),
            "margin": margin.mean().item(),
            "nll": -torch.nn.functional.logsigmoid(margin).mean().item(),
        }
        seen = margins(model, self.seen)
        row["train_accuracy"] = (0.5 + 0.5 * seen.sign()).mean().item()
        world = self.source.world
        if world is not None and world.name == "reviews":
            row["gold_correlation"] = _correlation(model.score_all(world), world.gold)
        return pd.DataFrame([row])


@torch.no_grad()
def margins(model, pairs: Pairs, chunk: int = 64) -> Tensor:
    """Score of the chosen minus that of the rejected response, reward units."""
    model.eval()
    parts = []
    for rows in torch.arange(len(pairs)).split(chunk):
        scores = pairs.scores(model, rows)
        parts.append((scores.chosen - scores.rejected).double())
    return torch.cat(parts)


def _correlation(scores: Tensor, gold: Tensor) -> float:
    """Pearson's correlation over all responses, mean over prompts."""
    a, b = (t - t.mean(-1, keepdim=True) for t in (scores, gold))
    each = (a * b).sum(-1) / (a.square().sum(-1) * b.square().sum(-1)).sqrt()
    return each.mean().item()


def of_policy(source: Source, seed: int, beta: float, optimum: float | None) -> list:
    """Measures of a policy.

    Args:
        source: the reference, the pairs and the world.
        seed: of the run.
        beta: reward units per nat of the implicit rewards.
        optimum: β of the optimum that the distance is measured to; None for none.
    """
    world = source.world
    rewards = Rewards(source, seed, beta)
    if world is None or world.name != "reviews":
        return [rewards, Sampled(source, seed)]
    with torch.no_grad():
        ref = source.reference.response_logps(world)
    return [rewards, exact.Tracker(world, ref, gold=world.gold, beta=optimum)]


def is_exact(source: Source) -> bool:
    """Whether the measures are sums over all responses."""
    return source.world is not None and source.world.name == "reviews"
