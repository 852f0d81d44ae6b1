"""What a loop returns, and how it reads from disk."""

import json
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path

from torch import nn


@dataclass
class Run:
    """A finished training run.

    Attributes:
        policy: what was trained.
        metrics: one row a seed and measured step.
        config: method, settings, seed, versions.
        critic: the value model trained beside it, if there was one.
        seconds: wall-clock time of the loop; never written to disk.
    """

    policy: nn.Module
    metrics: "pandas.DataFrame"
    config: dict
    critic: nn.Module | None = None
    seconds: float = field(default=0.0, compare=False)

    @property
    def last(self):
        """The metrics of the last step, one row a seed."""
        return self.metrics[self.metrics["step"] == self.metrics["step"].max()]


def describe(method, cfg) -> dict:
    """The part of run.json that names the method and its settings."""
    held = {} if cfg is None else {f.name: getattr(cfg, f.name) for f in fields(cfg)}
    return {
        "method": method.card.key,
        "method_config": {k: _plain(v) for k, v in held.items()},
    }


def _plain(value: object) -> object:
    """What JSON can hold; an object such as a divergence goes by its name."""
    return value.name if is_dataclass(value) else value


def read(folder: str | Path):
    """Configuration and metrics of a run folder.

    Returns:
        (config, metrics DataFrame), every float as it was written.
    """
    import pandas as pd

    folder = Path(folder)
    config = json.loads((folder / "run.json").read_text())
    return config, pd.read_csv(folder / "metrics.csv", float_precision="round_trip")
