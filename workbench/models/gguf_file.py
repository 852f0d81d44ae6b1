"""GGUF files, llama.cpp's format: read by transformers, unpacked into a checkpoint.

What is unpacked is a plain folder of safetensors in float32, exactly the numbers that
the packed weights stand for. It can be trained, which packed weights cannot.
"""

import copy
import hashlib
import io
import shutil
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from workbench.core import user_cache
from workbench.core.errors import BadCheckpoint
from workbench.models.quiet import quiet
from workbench.models.vetting import WEIGHTS

# How text is cut before byte pairs are merged, where llama.cpp and transformers differ:
# each digit for itself, then GPT-2's pattern.
_DIGITS_FIRST = {"smollm", "starcoder", "refact", "command-r"}
_AS_GPT2 = {None, "default", "gpt-2", "gpt2"}


def find(place: Path) -> Path | None:
    """The GGUF file that a path means: itself, or the only one of its folder.

    Args:
        place: a file, or a folder; one with a ``config.json`` is a checkpoint.

    Raises:
        BadCheckpoint: the folder has several.
    """
    if place.suffix.lower() == ".gguf" and place.is_file():
        return place
    if not place.is_dir() or (place / "config.json").exists():
        return None
    found = sorted(p for p in place.iterdir() if p.suffix.lower() == ".gguf")
    if len(found) > 1:
        named = ", ".join(p.name for p in found[:4])
        raise BadCheckpoint(place, "several GGUF files", f"name one of them: {named}")
    return found[0] if found else None


def unpacked(file: Path) -> Path:
    """The checkpoint of a GGUF file, in the user's cache; unpacked once.

    Raises:
        BadCheckpoint: it is none, or transformers cannot read it.
    """
    with file.open("rb") as stream:
        sum_ = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = user_cache.place() / "gguf" / f"{file.stem}-{sum_[:16]}"
    return user_cache.whole(folder, lambda empty: unpack(file, empty))


def unpack(file: Path, folder: Path) -> None:
    """Write a GGUF file's model and tokenizer as a checkpoint.

    Args:
        file: the GGUF file.
        folder: an empty folder: safetensors in float32, the configurations, and the
            tokenizer with its chat template.

    Raises:
        BadCheckpoint: it is no GGUF file, transformers does not know its architecture,
            or nobody knows how its tokenizer cuts a text.
    """
    try:
        cut = _way_to_cut(file)
        # a bar of transformers goes to stderr whatever its settings say
        with quiet(), redirect_stderr(io.StringIO()):
            _write(file, folder, cut)
    except BadCheckpoint:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadCheckpoint(file, "cannot be unpacked", first) from error


def _way_to_cut(file: Path) -> str | None:
    """How the file says that text is cut into words; None where it merges no bytes."""
    from gguf import GGUFReader

    fields = GGUFReader(file).fields
    kind, way = (fields.get(f"tokenizer.ggml.{key}") for key in ("model", "pre"))
    if kind is None or kind.contents() != "gpt2":
        return None
    return "default" if way is None else str(way.contents())


def _write(file: Path, folder: Path, cut: str | None) -> None:
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    read: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **read)
    _set_cut(file, tokenizer, cut)
    model: Any = AutoModelForCausalLM.from_pretrained(
        file.parent, dtype="float32", trust_remote_code=False, **read
    )
    # transformers marks the model as quantised, and saves no such model
    config, ends = copy.deepcopy(model.config), copy.deepcopy(model.generation_config)
    for name in ("quantization_config", "_model_name_or_path"):
        vars(config).pop(name, None)
    config.architectures, config._name_or_path = [type(model).__name__], ""
    ends._from_model_config = False
    tokenizer.model_max_length = config.get_text_config().max_position_embeddings
    tokenizer.init_kwargs.pop("local_files_only", None)
    seen, weights = set(), {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:  # tied weights are written once
            seen.add(tensor.data_ptr())
            weights[name] = tensor.contiguous()
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    config.save_pretrained(folder)
    shutil.copymode(folder / "config.json", folder / WEIGHTS)  # readable as the others
    ends.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _set_cut(file: Path, tokenizer: Any, cut: str | None) -> None:
    """Cut text as the file says; transformers falls back on GPT-2's way in silence."""
    from tokenizers import pre_tokenizers

    if cut is None:
        return
    backend = tokenizer.backend_tokenizer
    as_gpt2 = isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel)
    if cut in _DIGITS_FIRST:
        parts = [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
        backend.pre_tokenizer = pre_tokenizers.Sequence(parts)
    elif as_gpt2 and cut not in _AS_GPT2:
        detail = f"its tokenizer cuts text by {cut!r}, which transformers does not know"
        raise BadCheckpoint(file, "tokenizer not known", detail)
