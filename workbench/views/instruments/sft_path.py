"""Supervised fine-tuning on chosen responses, step by step, on all responses at once.

Mass is followed on three groups: responses that are mostly chosen, those that are
mostly rejected, and those that hardly any pair holds.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.worlds import solutions

POWERS = tuple(i / 20 for i in range(21))  # of the starts
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
RATE = 2.0
PAIRS = 1000  # a response that these are expected to hold less than once is unseen
GROUPS = ("chosen", "rejected", "unseen")
Table = Float[Tensor, "prompt response"]


def groups(writer: Table, chosen: Table, rejected: Table) -> Int[Tensor, "prompt resp"]:
    """The number of each response's group in ``GROUPS``.

    Args:
        writer: log μ, the distribution that both responses of a pair are drawn from.
        chosen, rejected: log-probs of being the chosen and the rejected response.
    """
    rare = 2 * PAIRS * writer.exp() < 1
    return torch.where(rare, 2, (chosen <= rejected).long())


def sft_tables(
    start: Table, chosen: Table, steps: Sequence[int]
) -> Float[Tensor, "step prompt response"]:
    """log π after some steps of SFT of a table, one logit for each response.

    The data are all chosen responses, weighted with their probability, so the gradient
    of the loss by the logits is π − p_c: exact, and without noise.

    Args:
        start: log π₀.
        chosen: log p_c.
        steps: rising; after so many steps of size ``RATE`` a table is taken.
    """
    logits, taken, done = start.log_softmax(-1), [], 0
    target = chosen.exp()
    for stop in steps:
        for _ in range(stop - done):
            logits = logits + RATE * (target - logits.softmax(-1))
        done = stop
        taken.append(logits.log_softmax(-1))
    return torch.stack(taken)


def mass_path(
    tables: Float[Tensor, "step prompt response"],
    group: Int[Tensor, "prompt response"],
    steps: Sequence[int],
) -> pd.DataFrame:
    """Mass on the three groups and the drift, averaged over prompts.

    Args:
        tables: log π after each of the steps, the first one before training.
        group: of ``groups``.
        steps: their numbers.

    Returns:
        DataFrame[step, chosen, rejected, unseen, kl]: masses, and KL(π‖π₀) in nats.
    """
    mass = tables.exp()
    columns = {
        name: (mass * (group == number)).sum(-1).mean(-1).tolist()
        for number, name in enumerate(GROUPS)
    }
    drift = [solutions.kl(table, tables[0]).mean().item() for table in tables]
    return pd.DataFrame({"step": list(steps), **columns, "kl": drift})


def start_path(writer: Table, chosen: Table, rejected: Table) -> pd.DataFrame:
    """Mean log-ratios log p_c/π₀ of both sides, for starts π₀ ∝ μ^a.

    Args:
        writer: log μ, the distribution that both responses of a pair are drawn from.
        chosen, rejected: log-probs of being the chosen and the rejected response.

    Returns:
        DataFrame[a, chosen, rejected], nats, averaged over prompts.
    """
    rows = []
    for power in POWERS:
        gap = chosen - (power * writer).log_softmax(-1)
        means = [solutions.expectation(p, gap).mean() for p in (chosen, rejected)]
        rows.append((power, *(mean.item() for mean in means)))
    return pd.DataFrame(rows, columns=["a", "chosen", "rejected"])
