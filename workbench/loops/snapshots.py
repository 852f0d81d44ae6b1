"""Run folders that survive being killed at any moment.

Every file is written beside its place and then moved there. The state of a step lies in
a folder of its own; the file ``latest`` names the last complete one. What is damaged is
refused when a run is resumed, for a resumed run is the uninterrupted one bit for bit.
"""

import json
import os
import re
import shutil
from pathlib import Path

from workbench.core import processes
from workbench.core.errors import BadRun
from workbench.loops import state
from workbench.loops.folder import (
    CARD,
    METRICS,
    broken,
    object_of,
    same_versions,
    sync,
    text_of,
    versions,
    write,
    written,
)

__all__ = ["Checkpoint", "versions", "write"]


class Checkpoint:
    """The folder of one run; ``out=None`` keeps nothing, and so does a second process.

    Args:
        out: the run folder.
        modules: name → module, whose parameters are kept.
        optimizer: Adam, whose moments are kept.
        config: identifies the run; a folder of another run is not resumed.
    """

    def __init__(self, out, modules, optimizer, config: dict):
        self.out = Path(out) if out is not None else None
        self.modules, self.optimizer = modules, optimizer
        self.config = config
        self._begun = False

    def save(self, step: int, rows: list[dict]) -> None:
        """Keep the state before ``step``; older states go once it is complete.

        Raises:
            OSError: a file cannot be written; the error names it.
            BadRun: safetensors cannot write one.
        """
        if self.out is None or not processes.is_main():
            return
        if not self._begun:
            self._begin(self.out)
        folder = self.out / "state" / f"step-{step}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        state.keep(folder, step, rows, state.pack(self.modules, self.optimizer))
        write(folder.parent / "latest", folder.name)
        _tidy(folder)

    def _begin(self, out: Path) -> None:
        """Write whose folder it is; an earlier run's state may not pass for ours."""
        (out / "state").mkdir(parents=True, exist_ok=True)
        (out / "state" / "latest").unlink(missing_ok=True)
        sync(out / "state")
        write(out / CARD, self._card())
        self._begun = True

    def restore(self) -> tuple[int, list[dict]]:
        """Load the last complete state.

        Returns:
            (step to continue with, metric rows so far); (0, []) if there is none.

        Raises:
            BadRun: the folder belongs to a run with other settings or was made under
                other versions, or a file of it is damaged; no weight has been changed.
        """
        if self.out is None:
            raise BadRun("(no folder)", "nothing to resume", "give the run a folder")
        for folder in (self.out, self.out / "state"):
            if os.path.lexists(folder) and not folder.is_dir():
                raise BadRun(folder, "no folder", "there is a file of this name")
        card, latest = self.out / CARD, self.out / "state" / "latest"
        started = os.path.lexists(latest)
        # killed before its first state, a run begins once more
        if started or os.path.lexists(card):
            self._check_card(card, started)
        if not started:
            return 0, []
        name = text_of(latest)
        if not re.fullmatch("step-[0-9]{1,12}", name):
            raise broken(latest, f"it names {name!r}, which is no state")
        folder, steps = latest.with_name(name), self.config.get("steps")
        step, rows, tensors = state.read(folder, steps)
        state.unpack(folder, tensors, self.modules, self.optimizer)
        if processes.is_main():
            _tidy(folder)
        self._begun = True
        return step, rows

    def _check_card(self, card: Path, started: bool) -> None:
        was = object_of(card)
        then = was.pop("versions", None)
        if was != json.loads(json.dumps(self.config)):
            raise BadRun(card.parent, "another run", f"its {CARD} has other settings")
        if started:
            same_versions(card, then)

    def _card(self) -> str:
        full = self.config | {"versions": versions()}
        return json.dumps(full, indent=2, sort_keys=True) + "\n"

    def finish(self, rows: list[dict], policy) -> None:
        """Write metrics and weights; the last state stays, so nothing is done twice.

        Raises:
            OSError: a file cannot be written; the error names it.
            BadRun: safetensors cannot write the weights.
        """
        if self.out is None or not processes.is_main():
            return
        import pandas as pd

        write(self.out / CARD, self._card())
        write(self.out / METRICS, pd.DataFrame(rows).to_csv(index=False))
        partial = self.out / "policy.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)
        with written(partial):
            policy.save(partial)
            for path in (*partial.rglob("*"), partial):
                sync(path)
        shutil.rmtree(self.out / "policy", ignore_errors=True)
        os.replace(partial, self.out / "policy")
        sync(self.out)


def _tidy(folder: Path) -> None:
    """Take away the states beside this one."""
    for old in folder.parent.glob("step-*"):
        if old.name != folder.name:
            shutil.rmtree(old, ignore_errors=True)
