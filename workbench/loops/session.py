"""What every loop shares: optimiser steps, a schedule of measures, progress, resuming.

A loop is ``for step in session: ...; session.step(losses)``. Randomness of a step comes
from ``(seed, step)`` alone, so a resumed run continues bit for bit.
"""

import time
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import progress
from workbench.core.contracts import Trainable
from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.loops.descent import Descent, Part
from workbench.loops.order import batch
from workbench.loops.run import Run
from workbench.loops.schedule import Schedule
from workbench.loops.snapshots import Checkpoint


class Session:
    """One training run of one module (and perhaps its critic); models have no dropout.

    Args:
        policy: what is trained and measured; may be a stack of seeds.
        schedule: steps, step size, seed, measures, folder.
        critic: trained beside it, or None.
        config: what to write into run.json.

    Raises:
        BadCall: nothing can be trained: all parameters are frozen.
    """

    def __init__(
        self,
        policy: Trainable,
        schedule: Schedule,
        critic: Trainable | None = None,
        *,
        config: dict | None = None,
    ):
        self.policy, self.critic, self.schedule = policy, critic, schedule
        self.steps, self.seed, self.every = (
            schedule.steps, schedule.seed, max(1, schedule.every)
        )  # fmt: skip
        self.members = policy.members
        modules = {"policy": policy} | ({"critic": critic} if critic else {})
        trained = [p for m in modules.values() for p in m.parameters()]
        self._descent = Descent(trained, schedule, self.members)
        self.config = (config or {}) | {
            "steps": self.steps, "lr": schedule.lr, "seed": self.seed,
            "members": self.members, "every": self.every, "decay": schedule.decay,
        } | schedule.special  # fmt: skip
        self.rows: list[dict] = []
        self.losses: list[Tensor] = []
        self.at, self.seconds = 0, 0.0
        self.checkpoint = Checkpoint(
            schedule.out, modules, self._descent.adam, self.config
        )
        if schedule.resume:
            self.at, self.rows = self.checkpoint.restore()

    def __iter__(self) -> Iterator[int]:
        """Steps still to do, measuring and saving on schedule."""
        started = time.perf_counter()
        with progress.bar(self.steps, self.at) as bar:
            while self.at < self.steps:
                if self.at % self.every == 0:
                    self._record()
                self._descent.begin(self.at)
                yield self.at
                self.at += 1
                bar.update()
        self._record()
        self.seconds = time.perf_counter() - started

    def draw(self, step: int, total: int, size: int) -> Int[Tensor, " rows"]:
        """Row numbers of one batch; see ``order.batch``."""
        return batch(self.seed, self.members, step, total, size)

    def generator(self, step: int, name: str = "sample") -> torch.Generator:
        """Randomness of one step."""
        return generator(self.seed, name, step)

    def step(
        self,
        losses: Float[Tensor, " batch"],
        weight: Float[Tensor, " batch"] | None = None,
    ) -> None:
        """One optimiser step on the mean loss of every member (they share nothing).

        Raises:
            NonFiniteLoss: a loss is NaN or infinite; nothing has been updated.
            BadCall: parts of a batch were asked for, and this loop makes none.
        """
        if self.schedule.micro_batch is not None:
            raise BadCall("this loop reads its batch at once: it takes no micro_batch")
        self.learn([Part(losses, weight)], len(losses))

    def learn(self, parts: Iterable[Part], total: int) -> None:
        """The same for a batch of ``total`` examples that comes in parts.

        Raises:
            NonFiniteLoss: a loss is NaN or infinite; nothing has been updated.
        """
        self.losses.append(self._descent.learn(parts, total, self.at))

    def finish(self) -> Run:
        """Write the run folder, if there is one, and return the run."""
        import pandas as pd

        self.checkpoint.finish(self.rows, self.policy)
        frame = pd.DataFrame(self.rows)
        return Run(self.policy, frame, self.config, self.critic, self.seconds)

    def _record(self) -> None:
        """Append one row per seed, unless a resumed run has them already."""
        if any(row["step"] == self.at for row in self.rows):
            return
        rows = [{"step": self.at, "seed": self.seed + m} for m in range(self.members)]
        if self.losses:
            means = torch.stack(self.losses).mean(0).tolist()
            for row, loss in zip(rows, means, strict=True):
                row["loss"] = loss
        with torch.no_grad():
            for measure in self.schedule.measures:
                frame = measure(self.policy)
                for row, (_, extra) in zip(rows, frame.iterrows(), strict=True):
                    row.update(extra.drop("seed", errors="ignore").to_dict())
        self.rows += rows
        self.losses = []
        self.checkpoint.save(self.at, self.rows)
