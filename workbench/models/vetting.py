"""A checkpoint's folder is vetted before transformers reads anything in it.

transformers follows whatever the files of a folder say: an index may name a pickle or a
file elsewhere, a number in the configuration may ask for more memory than there is.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.core.errors import BadCheckpoint

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_TOKENIZERS = ("*token*", "*vocab*", "*spiece*", "*.model")
_OBJECTS = (
    "config.json", "tokenizer_config.json", "generation_config.json",
    "special_tokens_map.json", "added_tokens.json", INDEX,
)  # fmt: skip
_PRECISION = {"BF16": "bfloat16", "F16": "float16", "F64": "float64"}
_DEEPEST = 64  # levels of a JSON file; real ones have fewer than ten
_LONGEST = 2**24  # positions; only those with weights of their own cost memory
_PLAIN = re.compile(r"[^/\\:\0]+\.safetensors")
_PROCESS_SHARD = re.compile(r"shard-[0-9]{5}-model-.*\.safetensors")
_LAYERS = {"num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"}
_SIZES = {
    "vocab_size", "hidden_size", "n_embd", "d_model", "head_dim",
    "num_attention_heads", "n_head", "n_heads", "num_key_value_heads",
}  # fmt: skip
_EXPERTS = {"num_experts", "num_local_experts", "n_routed_experts"}  # may be none
_POSITIONS = {"max_position_embeddings", "n_positions", "max_seq_len"}


@dataclass(frozen=True)
class Stored:
    """What the weight files of a folder hold, by their headers.

    Attributes:
        tensors: number of tensors.
        elements: numbers in all of them.
        precision: of most of the numbers, by torch's name.
    """

    tensors: int
    elements: int
    precision: str = "float32"


def vet(folder: Path) -> Stored:
    """Refuse a folder that is no checkpoint, or whose files cannot be trusted.

    Args:
        folder: where the checkpoint should be.

    Returns:
        what its weight files hold.

    Raises:
        BadCheckpoint: it is no folder, has no safetensors, holds packed
            weights, needs code, names files that are not its own, or its configuration
            holds sizes that its weights do not have.
    """
    _check_folder(folder)
    objects = {n: _object(folder, n) for n in _OBJECTS if (folder / n).exists()}
    for name, value in objects.items():
        if "auto_map" in value:
            detail = f"{name} names code to run, which is refused"
            raise BadCheckpoint(folder, "needs remote code", detail)
    config = objects["config.json"]
    _check_ways(folder, config)
    shards = _shards(folder, objects[INDEX]) if INDEX in objects else []
    names = [WEIGHTS] if (folder / WEIGHTS).is_file() else shards
    if not names:
        detail = f"it has neither {WEIGHTS} nor {INDEX}"
        raise BadCheckpoint(folder, "no safetensors", detail)
    stored = _count(folder, names)
    _check_sizes(folder, config, stored)
    return stored


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "no such folder"
        detail = f"{what}; --hub NAME would download a model, workbench model smollm2"
        detail += " fetches a small one"
        raise BadCheckpoint(folder, "no checkpoint", detail)
    if not (folder / "config.json").is_file():
        raise BadCheckpoint(folder, "no checkpoint", "it has no config.json")
    files = list(folder.glob("*.safetensors"))
    pickled = [p.name for pattern in _PICKLED for p in folder.glob(pattern)]
    if not files and pickled:
        raise BadCheckpoint(
            folder, "no safetensors", f"{pickled[0]} is a pickle, which may run code; "
            "save it again with save_pretrained (safetensors)",
        )  # fmt: skip
    if not files:
        raise BadCheckpoint(folder, "no safetensors", "it has no *.safetensors")
    # some versions of transformers make up a tokenizer where there is none
    if not any(found for pattern in _TOKENIZERS for found in folder.glob(pattern)):
        raise BadCheckpoint(folder, "cannot be loaded", "it has no tokenizer")
    for file in files:
        if _PROCESS_SHARD.fullmatch(file.name):
            detail = f"{file.name} is one process's part; save it with save_pretrained"
            raise BadCheckpoint(folder, "saved in parts", detail)


def _object(folder: Path, name: str) -> dict:
    """One JSON file, which has to be an object of moderate depth."""
    try:
        value = json.loads((folder / name).read_text(encoding="utf-8"))
    except RecursionError:
        value, depth = {}, _DEEPEST + 1
    except ValueError as error:
        raise BadCheckpoint(folder, "malformed JSON", f"{name}: {error}") from None
    else:
        depth = max((depth for depth, _, _ in _entries(value)), default=0)
    if depth > _DEEPEST:
        raise BadCheckpoint(folder, "malformed JSON", f"{name} is nested too deeply")
    if not isinstance(value, dict):
        raise BadCheckpoint(folder, "malformed JSON", f"{name} is no object")
    return value


def _entries(value: object) -> Iterator[tuple[int, object, object]]:
    """Depth, key and value of everything inside a JSON value."""
    waiting = [(1, value)]
    while waiting:
        depth, container = waiting.pop()
        if not isinstance(container, dict | list):
            continue
        pairs = (
            container.items() if isinstance(container, dict) else enumerate(container)
        )
        for key, inner in pairs:
            yield depth, key, inner
            waiting.append((depth + 1, inner))


def _check_ways(folder: Path, config: dict) -> None:
    """Refuse what would make transformers read the weights in another way."""
    if config.get("transformers_weights") is not None:
        detail = f"config.json names a weight file; it has to be called {WEIGHTS}"
        raise BadCheckpoint(folder, "weights elsewhere", detail)
    for name in ("quantization_config", "compression_config"):
        if config.get(name) is not None:
            detail = f"config.json has a {name}; packed weights cannot be trained"
            raise BadCheckpoint(folder, "quantised weights", detail)


def _shards(folder: Path, index: dict) -> list[str]:
    """The weight files that an index names: safetensors of this folder, or none."""
    placed = index.get("weight_map")
    if not isinstance(placed, dict) or not placed:
        detail = f"{INDEX} has no weight_map"
        raise BadCheckpoint(folder, "malformed index", detail)
    for tensor, name in placed.items():
        if not isinstance(name, str) or not _PLAIN.fullmatch(name):
            raise BadCheckpoint(
                folder, "weights elsewhere", f"{INDEX} puts {tensor!r} into {name!r}, "
                "which is no *.safetensors of this folder",
            )  # fmt: skip
    names = sorted(set(placed.values()))
    for name in names:
        if not (folder / name).is_file():
            detail = f"{INDEX} names {name}, which is not there"
            raise BadCheckpoint(folder, "weights missing", detail)
        _check_inside(folder, name)
    return names


def _check_inside(folder: Path, name: str) -> None:
    """A link may lead to a file of the folder, or of the hub's cache it belongs to."""
    home, real = folder.resolve(), (folder / name).resolve()
    homes = [home]
    if home.parent.name == "snapshots":
        homes.append(home.parent.parent / "blobs")
    if not any(place in real.parents for place in homes):
        detail = f"{name} is a link that leaves the folder"
        raise BadCheckpoint(folder, "weights elsewhere", detail)


def _count(folder: Path, names: list[str]) -> Stored:
    from safetensors import SafetensorError, safe_open

    tensors, sizes = 0, Counter[str]()
    for name in names:
        _check_inside(folder, name)
        try:
            with safe_open(folder / name, framework="pt") as file:
                slices = [file.get_slice(key) for key in file.keys()]
                shapes = [part.get_shape() for part in slices]
                kinds = [part.get_dtype() for part in slices]
        except SafetensorError as error:
            detail = f"{name}: {error}"
            raise BadCheckpoint(folder, "cannot be loaded", detail) from None
        for shape, kind in zip(shapes, kinds, strict=True):
            tensors += 1
            sizes[kind] += math.prod(shape)
    kind = max(sizes, key=sizes.__getitem__, default="F32")
    return Stored(tensors, sizes.total(), _PRECISION.get(kind, "float32"))


def _check_sizes(folder: Path, config: dict, stored: Stored) -> None:
    """Numbers of the configuration that loops and tables are made by."""
    most = (
        dict.fromkeys(_LAYERS, stored.tensors)
        | dict.fromkeys(_SIZES | _EXPERTS, stored.elements)
        | dict.fromkeys(_POSITIONS, max(_LONGEST, stored.elements))
    )
    for _, key, value in _entries(config):
        if not isinstance(key, str) or key not in most:
            continue
        # a list has a number for each layer, and its type is checked by transformers
        if value is None or isinstance(value, list | dict):
            continue
        least = 0 if key in _EXPERTS else 1
        whole = value if isinstance(value, int) and not isinstance(value, bool) else -1
        if not least <= whole <= most[key]:
            detail = f"config.json says {key} = {value!r}, its weights say otherwise"
            raise BadCheckpoint(folder, "weights do not fit", detail)
