"""DPO of a table on one person's labels, the other way from answers to a policy.

The reward of ``annotated_state`` says something of every review, because reviews share
words. A table of all reviews shares nothing: a review in no pair keeps its odds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.feedback.kinds.pairs import Pairs
from workbench.views.instruments.annotated_state import Task
from workbench.views.instruments.playground_state import KEPT, table_path
from workbench.worlds import solutions

# Per pair, over β². Twenty pairs that share a review curve the sum of their losses by
# β²/4 times 10 at most: a step of 0.4/β² never leaps over the lowest point.
RATE = 0.4


@dataclass(frozen=True)
class Trained:
    """A policy trained by DPO on some labels.

    Attributes:
        curves: DataFrame[step, kl, gold]: KL(π‖π_ref) in nats per sequence and the
            mean gold reward.
        logps: log π at the end, nats.
    """

    curves: pd.DataFrame
    logps: Float[Tensor, " response"]

    @property
    def kl(self) -> float:
        """KL(π‖π_ref) at the end, nats per sequence."""
        return self.curves["kl"].iloc[-1]

    @property
    def gold(self) -> float:
        """The mean gold reward at the end, reward units."""
        return self.curves["gold"].iloc[-1]


def trained(task: Task, answers: Sequence[int], beta: float | int) -> Trained:
    """200 full-batch steps of DPO on these labels, from the reference.

    Args:
        task: the pairs.
        answers: to the first of them, 1 where the first review is better, else −1.
        beta: reward units per nat.

    Returns:
        The reference itself if there is no answer.
    """
    ref, path = task.ref.log_softmax(-1)[None], task.ref.log_softmax(-1)[None, None]
    if answers:
        pairs = labels(task, answers)
        path = table_path(ref, pairs, beta, mean=False, rate=RATE * len(pairs))
    curves = pd.DataFrame({"step": KEPT[: len(path)]})
    curves["kl"] = solutions.kl(path, ref.expand_as(path)).clamp(min=0)[:, 0].tolist()
    gold = task.world.gold[task.prompt]
    curves["gold"] = solutions.expectation(path[:, 0], gold).tolist()
    return Trained(curves, path[-1, 0])


def labels(task: Task, answers: Sequence[int]) -> Pairs:
    """The answered pairs as data of a table with one row, that of the prompt.

    Args:
        task: the pairs.
        answers: to the first of them.
    """
    met = zip(task.first, task.second, answers, strict=False)
    order = [(one, two) if says > 0 else (two, one) for one, two, says in met]
    row = torch.zeros(len(order), dtype=torch.long)
    sides = (
        task.world.tokens(row, torch.tensor(side)) for side in zip(*order, strict=True)
    )
    return Pairs(*sides, weight=torch.ones(len(order), dtype=torch.float64))
