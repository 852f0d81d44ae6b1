"""What a reward model says of an audit's samples: a proxy, where nobody knows gold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench.core.statistics import rank_correlation
from workbench.experiment.audit_pairs import Judged
from workbench.experiment.audit_samples import Drawn
from workbench.feedback.records import Text, responses_of
from workbench.measure.measured_rows import of_mean, of_number, table

PAIRS = 200  # pairs of the file that the reward model orders, at most
Score = Callable[[Sequence[Text], Sequence[Text]], list[float]]


@dataclass(frozen=True)
class Proxy:
    """The proxy reward of samples before and after training.

    Attributes:
        summary: DataFrame[measure, value, low, high, n, unit]; 95 % intervals
            clustered by prompt.
        samples: DataFrame[prompt, model, tokens, reward], a row per sample; prompt by
            number, model "before" or "after".
    """

    summary: Any
    samples: Any


def read(score: Score, judged: Judged, drawn: Drawn) -> Proxy:
    """Score the samples of both models, and the first pairs of the file.

    Args:
        score: prompts and answers to rewards.
        judged: the pairs.
        drawn: the samples.
    """
    before, after = (
        torch.tensor(score(drawn.asked, texts), dtype=torch.float64)
        for texts in (drawn.before, drawn.after)
    )
    right, lengths = _ordered(score, judged), drawn.lengths[1]
    few, units = torch.tensor(judged.clusters[: len(right)]), "reward units"
    rank = float("nan")
    if len(set(after.tolist())) > 1 and len(set(lengths.tolist())) > 1:
        rank = rank_correlation(after.tolist(), lengths.tolist())
    rows = [
        of_mean("proxy reward before", before, drawn.clusters, units),
        of_mean("proxy reward after", after, drawn.clusters, units),
        of_mean("gain of proxy reward", after - before, drawn.clusters, units),
        of_mean("accuracy of the reward model", right, few, "share of pairs"),
        of_number(
            "rank correlation of proxy reward and sampled length", rank, len(after)
        ),
    ]
    return Proxy(table(rows), _samples(drawn, before, after))


def _ordered(score: Score, judged: Judged) -> torch.Tensor:
    """1 where the reward model orders a pair as it is labelled, ½ for a tie."""
    some = judged.records[:PAIRS]
    asked = [record.prompt for record in some]
    chosen, rejected = (
        torch.tensor(score(asked, [responses_of(r)[side] for r in some]))
        for side in (0, 1)
    )
    return 0.5 + 0.5 * (chosen - rejected).double().sign()


def _samples(drawn: Drawn, before: torch.Tensor, after: torch.Tensor):
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                "prompt": drawn.clusters.tolist(), "model": name,
                "tokens": lengths.int().tolist(), "reward": rewards.tolist(),
            }
        )
        for name, lengths, rewards in zip(
            ("before", "after"), drawn.lengths, (before, after), strict=True
        )
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)
