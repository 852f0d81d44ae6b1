"""Checkpoints of the Hugging Face hub: fetched only where the user asks for one.

Nothing but safetensors, configurations and tokenizers is downloaded: no pickle and no
code. The hub's own client keeps them in its cache.
"""

import re
from pathlib import Path

from workbench.core.errors import BadOption, MissingInput, printable

NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "LICENSE*"]
_UNWANTED = ["*/*"]  # other formats of the same weights lie in folders


def fetch(name: str, to: str | Path | None = None) -> Path:
    """Download a checkpoint, or find it in the cache of the hub's client.

    Args:
        name: owner and model, such as ``HuggingFaceTB/SmolLM2-135M-Instruct``.
        to: folder for the files; None is the client's cache.

    Returns:
        a folder for ``checkpoint.load``, which vets it as any other.

    Raises:
        BadOption: the name is none.
        MissingInput: there is no such model, no network, or no leave to read it.
    """
    if not NAME.fullmatch(name):
        said = printable(name, 100)
        raise BadOption(
            f"--hub takes OWNER/MODEL of the Hugging Face hub, not {said!r}"
        )
    from huggingface_hub import snapshot_download

    from workbench.models.quiet import quiet

    try:
        with quiet():
            found = snapshot_download(
                name, local_dir=to, allow_patterns=_WANTED, ignore_patterns=_UNWANTED
            )
    except Exception as error:  # the client's own, its HTTP library's, the disk's
        first = (str(error).strip().splitlines() or [""])[0].rstrip(".: ")
        kind = type(error).__name__
        raise MissingInput(
            f"--hub {name}: cannot be fetched ({kind}{': ' * bool(first)}{first}); "
            "without a network, name a local folder by --model"
        ) from error
    return Path(found)
