"""Measures of a run on their way to TensorBoard or Weights & Biases, as they come.

Names are the field's: means over training pairs are ``rewards/chosen``, those over
held-out pairs ``eval_rewards/chosen``. Neither program is needed otherwise: its package
is imported once it is asked for, and ``metrics.csv`` is the same with it and without.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from workbench.core import processes
from workbench.core.errors import BadOption
from workbench.experiment import field_names
from workbench.experiment.evaluation import implicit_reward
from workbench.experiment.problem import Problem
from workbench.feedback.kinds.pairs import Pairs
from workbench.loops.checks import hook
from workbench.measure.pair_values import pair_values

FOLDER = "logs"  # of a run, where a program writes


class Logger(Protocol):
    """A program that draws curves."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step, by name."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class TensorBoard:
    """Event files in the run's folder; ``tensorboard --logdir`` shows them."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any]):
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step, by name."""
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Nothing more will come."""
        self._writer.close()


class WeightsAndBiases:
    """A run of wandb; its own variables say where to (WANDB_MODE, WANDB_PROJECT)."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any]):
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(dir=str(folder), name=name, config=dict(config))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step, by name."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Nothing more will come."""
        self._run.finish()


KINDS: dict[str, Callable[..., Logger]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


def check(program: str) -> None:
    """Refuse a program that is not installed, or is damaged, before any work.

    Raises:
        BadOption: what to install, or what is wrong.
    """
    try:
        import_module(program)
    except ImportError as error:
        what = f"needs the package {program}: pip install {program}"
        if error.name != program:
            what = f"cannot be used: {error}"
        raise BadOption(f"--log {program} {what}") from None


class FieldMeasure:
    """What trainers of the field log of pairs, for a loop's ``measures``.

    It adds no column to the metrics: ``values`` has what was measured last.

    Args:
        problem: training pairs and pairs held out, of one seed.
        method: whose implicit reward is read.
        cfg: its settings.
    """

    def __init__(self, problem: Problem, method: Any, cfg: Any):
        self.reward, self.values = implicit_reward(method, cfg), {}
        seen = problem.pairs[slice(0, problem.held_out_pairs)]
        held_out = problem.held_out.pairs
        self._sides: list[tuple[str, Pairs, Any]] = [
            (prefix, pairs, pairs.reference_logps(problem.reference))
            for prefix, pairs in (("", seen), ("eval_", held_out))
        ]

    def __call__(self, policy: Any):
        """A table of no columns, one row."""
        import pandas as pd

        self.values = {}
        for prefix, pairs, ref in self._sides:
            _, read = pair_values(policy, pairs, ref, self._read)
            chosen, rejected, *logps = read[:, 0]
            margin = chosen - rejected
            means = {
                "rewards/chosen": chosen,
                "rewards/rejected": rejected,
                "rewards/margins": margin,
                "rewards/accuracies": 0.5 + 0.5 * margin.sign(),
                "logps/chosen": logps[0],
                "logps/rejected": logps[1],
            }
            for name, each in means.items():
                self.values[f"{prefix}{name}"] = each.mean().item()
        return pd.DataFrame(index=range(policy.members))

    def _read(self, batch: Any) -> Tensor:
        sides = (batch.chosen, batch.rejected)
        return torch.stack(
            [self.reward(side).double() for side in sides]
            + [side.logps().double() for side in sides]
        )


@contextmanager
def listening(
    program: str | None, problem: Problem, method: Any, cfg: Any, folder: Path
) -> Iterator[dict[str, Any]]:
    """What a loop's schedule needs in order to be listened to.

    Args:
        program: a key of ``KINDS``; None, or a process beside the first, listens to
            nothing.
        problem: of one seed.
        method, cfg: what is trained.
        folder: of the run.

    Yields:
        ``measures``, to be added, and ``listen``.

    Raises:
        BadOption: the program cannot begin, as wandb without a key.
    """
    if program is None or not processes.is_main():
        yield {"measures": [], "listen": None}
        return
    key, fields = method.card.key, None
    plain = method.card.loop.TRAINS == "policy" and hook(method, "prepare") is None
    if plain and problem.held_out.pairs is not None:
        fields = FieldMeasure(problem, method, cfg)
    name = f"{key} on {problem.name}, seed {problem.seeds[0]}"
    config = {"method": key, "problem": problem.name, "settings": str(cfg)}
    try:
        logger = KINDS[program](folder / FOLDER, name, config)
    except Exception as error:  # of a program that is not ours
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BadOption(f"--log {program} cannot begin: {told}") from error

    def listen(row: Mapping[str, Any]) -> None:
        values = named(row) | ({} if fields is None else fields.values)
        logger.write(int(row["step"]), values)

    try:
        yield {"measures": [] if fields is None else [fields], "listen": listen}
    finally:
        logger.close()


def named(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of metrics under the field's names; none that is NaN."""
    return {
        field_names.of(name): float(value)
        for name, value in row.items()
        if name not in ("step", "seed")
        and isinstance(value, int | float)
        and value == value
    }
