"""JupyterLab as `workbench lab` starts it, and what that adds to Jupyter's server.

The settings lie in ``workbench/data/lab``, which is put on Jupyter's search path for
this one process: no file of the user's own Jupyter is written, and all are read.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import workbench
from workbench.core.progress import is_bar

CONFIG = Path(workbench.__file__).resolve().parent / "data" / "lab"
LAYOUT = "default-37a8.jupyterlab-workspace"  # JupyterLab's own name for it
LAYOUTS = ".jupyterlab"
HOW_TO_STOP = "To stop it: Ctrl-C here, then y and Enter."


def command(folder: Path, name: str | None, options: Sequence[str] = ()) -> list[str]:
    """The program and arguments that open JupyterLab on a folder of notebooks.

    Args:
        folder: what the file browser shows, and the kernels' working directory.
        name: the notebook to open first, without its ending; None opens none.
        options: further options of Jupyter, which win over those chosen here.
    """
    page = f"/lab/tree/{name}.ipynb" if name else "/lab"
    ours = {
        "--ServerApp.root_dir": str(folder),
        "--LabApp.default_url": page,
        # the user's layouts would open files of other folders
        "--LabApp.workspaces_dir": str(folder / LAYOUTS),
    }
    given = {option.split("=")[0] for option in options}
    chosen = [f"{key}={value}" for key, value in ours.items() if key not in given]
    if is_root() and "--allow-root" not in given:
        chosen.append("--allow-root")
    return [sys.executable, "-m", "jupyterlab", *chosen, *options]


def environment(root: Path) -> dict[str, str]:
    """The environment of JupyterLab and its kernels.

    Args:
        root: the clone, which kernels import.
    """
    paths = {
        "PYTHONPATH": [str(root), os.environ.get("PYTHONPATH")],
        "JUPYTER_CONFIG_PATH": [os.environ.get("JUPYTER_CONFIG_PATH"), str(CONFIG)],
    }
    calm = {"OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    joined = {
        key: os.pathsep.join(filter(None, folders)) for key, folders in paths.items()
    }
    return calm | os.environ | joined


def lay_out(folder: Path) -> None:
    """Give JupyterLab its first layout, with room for the lessons' names.

    From then on JupyterLab keeps there what its user makes of it.
    """
    target = folder / LAYOUTS / LAYOUT
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((CONFIG / LAYOUT).read_bytes())


def is_root() -> bool:
    """Whether this is root, for whom Jupyter does not start unasked."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def without_bars(model: dict, **_: object) -> None:
    """Take progress bars out of a notebook that is about to be saved.

    Args:
        model: what Jupyter's contents manager saves; changed in place.
    """
    if model.get("type") != "notebook" or not isinstance(model.get("content"), dict):
        return
    for cell in model["content"].get("cells", []):
        if "outputs" in cell:
            cell["outputs"] = [out for out in cell["outputs"] if not is_bar(out)]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server) -> None:
    """Called by Jupyter's server when it starts."""
    server.contents_manager.register_pre_save_hook(without_bars)
    server.io_loop.add_callback(_greet, server)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        # the terminal was closed: without this the kernels would be left behind
        signal.signal(signal.SIGHUP, lambda *_: server.stop(from_signal=True))


def _greet(server) -> None:
    """Print the address and how to stop, after all that Jupyter prints at its start."""
    address = server.display_url.split()[0]
    print(f"JupyterLab is at {address}\n{HOW_TO_STOP}", flush=True)
