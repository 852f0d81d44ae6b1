"""LoRA adapters on disk: read by peft and merged into their base model.

What is trained here afterwards is a plain model again, and is saved as one.
"""

import json
import os
from pathlib import Path

from workbench.core.errors import BadCheckpoint

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MODELS = ("model*.safetensors", "pytorch_model*.bin")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter.

    A config.json alone is no model: some trainers put the base's beside an adapter.

    Raises:
        BadCheckpoint: it holds a model beside it, and nobody knows which is meant.
    """
    # os.path.exists says no, and raises nothing, for a name that no file can have
    found = os.path.exists(folder / CONFIG)
    models = (p.name for way in MODELS for p in folder.glob(way)) if found else ()
    if model := next(iter(models), None):
        detail = f"{CONFIG} lies beside {model}: keep one of the two there"
        raise BadCheckpoint(folder, "holds an adapter and a model", detail)
    return found


def base_name(folder: Path) -> str:
    """What ``adapter_config.json`` calls the model that an adapter was trained on.

    Raises:
        BadCheckpoint: the configuration is malformed, or names code to run.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        named = config["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise BadCheckpoint(folder, "malformed adapter", f"see its {CONFIG}") from None
    if "auto_mapping" in config and config["auto_mapping"]:
        detail = f"{CONFIG} names code to run, which is refused"
        raise BadCheckpoint(folder, "needs remote code", detail)
    return str(named or "")


def base_of(folder: Path) -> Path:
    """The local folder of the model that an adapter was trained on.

    Args:
        folder: holds ``adapter_config.json``, which names the base: a folder, seen
            from here or from the adapter's own.

    Raises:
        BadCheckpoint: as ``base_name``, or the base is no local folder.
    """
    named = base_name(folder)
    for place in (Path(named), folder / named):
        if named and place.is_dir():
            return place
    raise BadCheckpoint(
        folder, "base model not found", f"{CONFIG} names {named!r}, which is no local "
        "folder; names are not downloaded",
    )  # fmt: skip


def merge(folder: Path, model):
    """A model with an adapter's change added to its weights.

    Args:
        folder: holds the adapter's configuration and safetensors.
        model: a transformers model, the adapter's base; it is changed.

    Returns:
        the same kind of model, merged.

    Raises:
        BadCheckpoint: the adapter's weights are pickled, missing, not finite, or are
            not those of this model.
    """
    if not (folder / WEIGHTS).is_file():
        detail = f"it has no {WEIGHTS}; a pickled adapter is refused"
        raise BadCheckpoint(folder, "no safetensors", detail)
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    weights = load_file(folder / WEIGHTS)
    bad = [name for name, tensor in weights.items() if not tensor.isfinite().all()]
    if bad:
        raise BadCheckpoint(folder, "weights not finite", f"{bad[0]} of {WEIGHTS}")
    config = PeftConfig.from_pretrained(str(folder), local_files_only=True)
    config.base_model_name_or_path = None  # peft warns of a base by another name
    adapted = get_peft_model(model, config)
    outcome = set_peft_model_state_dict(adapted, weights)
    missing = [name for name in outcome.missing_keys if "lora_" in name]
    if wrong := [*outcome.unexpected_keys, *missing]:
        detail = f"{wrong[0]} and {len(wrong) - 1} more do not fit the base model"
        raise BadCheckpoint(folder, "weights do not fit", detail)
    return adapted.merge_and_unload()
