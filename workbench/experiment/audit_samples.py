"""Samples of an audit: how far the policy has drifted, and what it writes now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from workbench.core.seeds import generator
from workbench.core.statistics import cluster_interval
from workbench.experiment.audit_models import Loaded
from workbench.experiment.audit_settings import Settings
from workbench.feedback.records import Text
from workbench.measure import drift, measured_rows
from workbench.models import prompts

SHOWN = 8  # prompts whose samples stand side by side


@dataclass(frozen=True)
class Drawn:
    """Responses of the reference (before) and of the policy (after).

    Attributes:
        asked: the prompt of each sample, as it stands in the file.
        clusters: which prompt that is, by number.
        before, after: the texts.
        lengths: tokens of each sample before, and after.
        drift: DataFrame[estimator, mean, stderr, low, high, n]: KL(π‖π_ref) in nats per
            sequence, from the policy's samples; intervals clustered by prompt.
        shown: DataFrame[prompt, before, after], texts of a few prompts.
        ended: 1 for each sample of the policy that has an end, 0 for one that was cut.
    """

    asked: list[Text]
    clusters: torch.Tensor
    before: list[str]
    after: list[str]
    lengths: tuple[torch.Tensor, torch.Tensor]
    drift: Any
    shown: Any
    ended: torch.Tensor

    @staticmethod
    def of(
        settings: Settings, both: Loaded, known: Sequence[tuple[Text, list[int]]]
    ) -> "Drawn":
        """Sample both models.

        Args:
            settings: how many, and how long.
            both: the models.
            known: each prompt, as it is and as tokens.
        """
        import pandas as pd

        where = [i % len(known) for i in range(settings.samples)]
        texts, ids = zip(*(known[number] for number in where), strict=True)
        clusters = torch.tensor(where)
        old, new = (
            prompts.respond(one, list(ids), settings.max_new, generator(0, "audit"))
            for one in (both.reference, both.policy)
        )
        values = drift.in_parts(both.policy, both.reference, new)
        before, after = (prompts.written(both.coder, one) for one in (old, new))
        first = range(min(SHOWN, len(known), settings.samples))
        shown = {
            "prompt": [both.coder.decode(ids[i]) for i in first],
            "before": [before[i] for i in first],
            "after": [after[i] for i in first],
        }
        return Drawn(
            list(texts), clusters, before, after,
            (old.lengths.double(), new.lengths.double()), _drift(values, clusters),
            pd.DataFrame(shown), prompts.has_ended(both.policy, new).double(),
        )  # fmt: skip

    @property
    def cut(self) -> float:
        """Share of the policy's samples that were cut at ``max_new``."""
        return 1 - self.ended.mean().item()

    @property
    def summary(self):
        """DataFrame[measure, value, low, high, n, unit], intervals over prompts."""
        before, after = self.lengths
        return measured_rows.table(
            measured_rows.of_mean(name, values, self.clusters, unit)
            for name, values, unit in (
                ("sampled length before", before, "tokens"),
                ("sampled length after", after, "tokens"),
                ("samples cut", 1 - self.ended, "share of samples"),
            )
        )


def _drift(values: dict[str, torch.Tensor], clusters: torch.Tensor):
    import pandas as pd

    rows = []
    for name, value in values.items():
        mean, stderr, low, high = cluster_interval(value[0], clusters)
        row = {"estimator": name, "mean": mean, "stderr": stderr, "low": low}
        rows.append(row | {"high": high, "n": len(clusters)})
    return pd.DataFrame(rows)
