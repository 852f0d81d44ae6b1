"""Run folders that survive being killed at any moment.

Every file is written beside its place and then moved there. The state of a step lies in
a folder of its own; the file ``latest`` names the last complete one.
"""

import json
import os
import platform
import shutil
from pathlib import Path

import torch

from workbench.core.errors import BadRun


def versions() -> dict[str, str]:
    """Versions that numbers depend on."""
    import transformers

    import workbench

    return {
        "workbench": workbench.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def write(path: Path, text: str) -> None:
    """Replace a text file in one move."""
    beside = path.with_name(path.name + ".partial")
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


class Checkpoint:
    """The folder of one run; with ``out=None`` nothing is written.

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

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {
            f"{name}/{key}": value
            for name, module in self.modules.items()
            for key, value in module.state_dict().items()
        }
        for number, state in self.optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer/{number}/{key}"] = torch.as_tensor(value)
        return {k: v.detach().contiguous().clone() for k, v in tensors.items()}

    def save(self, step: int, rows: list[dict]) -> None:
        """Keep the state before ``step``; older states go once it is complete."""
        if self.out is None:
            return
        from safetensors.torch import save_file

        self.out.mkdir(parents=True, exist_ok=True)
        if not (self.out / "run.json").exists():
            write(self.out / "run.json", self._card())
        folder = self.out / "state" / f"step-{step}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        save_file(self._tensors(), folder / "tensors.safetensors")
        write(folder / "progress.json", json.dumps({"step": step, "rows": rows}))
        write(self.out / "state" / "latest", folder.name)
        for old in (self.out / "state").glob("step-*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)

    def restore(self) -> tuple[int, list[dict]]:
        """Load the last complete state.

        Returns:
            (step to continue with, metric rows so far); (0, []) if there is none.

        Raises:
            BadRun: the folder belongs to a run with other settings.
        """
        if self.out is None:
            raise BadRun("(no folder)", "nothing to resume", "give the run a folder")
        latest = self.out / "state" / "latest"
        if not latest.exists():
            return 0, []
        was = json.loads((self.out / "run.json").read_text())
        if {k: v for k, v in was.items() if k != "versions"} != json.loads(
            json.dumps(self.config)
        ):
            raise BadRun(self.out, "another run", "its run.json has other settings")
        from safetensors.torch import load_file

        folder = self.out / "state" / latest.read_text()
        tensors = load_file(folder / "tensors.safetensors")
        for name, module in self.modules.items():
            prefix = name + "/"
            module.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items()
                 if k.startswith(prefix)}
            )  # fmt: skip
        state = self.optimizer.state_dict()
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, number, field = key.split("/")
                state["state"].setdefault(int(number), {})[field] = value
        self.optimizer.load_state_dict(state)
        progress = json.loads((folder / "progress.json").read_text())
        return progress["step"], progress["rows"]

    def _card(self) -> str:
        full = self.config | {"versions": versions()}
        return json.dumps(full, indent=2, sort_keys=True) + "\n"

    def finish(self, rows: list[dict], policy) -> None:
        """Write metrics and weights, and drop the state."""
        if self.out is None:
            return
        import pandas as pd

        write(self.out / "run.json", self._card())
        write(self.out / "metrics.csv", pd.DataFrame(rows).to_csv(index=False))
        partial = self.out / "policy.partial"
        shutil.rmtree(partial, ignore_errors=True)
        policy.save(partial)
        shutil.rmtree(self.out / "policy", ignore_errors=True)
        os.replace(partial, self.out / "policy")
