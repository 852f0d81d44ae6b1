"""Local Hugging Face checkpoints: safetensors only, no download, no remote code."""

import json
from pathlib import Path

from workbench.core.errors import BadCheckpoint
from workbench.models.network import Network
from workbench.models.policy import Policy
from workbench.models.tokenizer import pad_id

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def load(folder: str | Path) -> tuple[Policy, object]:
    """Read a causal language model and its tokenizer from a local folder.

    Args:
        folder: holds ``config.json``, ``*.safetensors`` and the tokenizer's files.

    Returns:
        the policy and the tokenizer.

    Raises:
        BadCheckpoint: the folder is none, its weights are pickled, it needs code of its
            own, or transformers cannot read it.
    """
    folder = Path(folder)
    _check(folder)
    safe = {"local_files_only": True, "trust_remote_code": False}
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
        model = AutoModelForCausalLM.from_pretrained(
            folder, use_safetensors=True, dtype="float32", **safe
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        first = (
            str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        )
        raise BadCheckpoint(folder, "cannot be loaded", first) from error
    except Exception as error:  # safetensors and tokenizers raise bare exceptions
        raise BadCheckpoint(folder, "cannot be loaded", str(error)) from error
    if tokenizer.eos_token_id is None:
        raise BadCheckpoint(folder, "no end of sequence", "its tokenizer has no EOS")
    known, size = len(tokenizer), model.get_input_embeddings().num_embeddings
    if known > size:
        detail = f"the tokenizer has {known} tokens, the model {size}"
        raise BadCheckpoint(folder, "tokenizer and model differ", detail)
    # sampling reads both from the configuration, where they may be lists or missing
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = pad_id(tokenizer)
    return Policy(Network(model.eval())), tokenizer


def _check(folder: Path) -> None:
    if not folder.is_dir():
        what = "it is a file" if folder.exists() else "no such folder"
        raise BadCheckpoint(
            folder, "no checkpoint", f"{what}; names are not downloaded"
        )
    if not (folder / "config.json").is_file():
        raise BadCheckpoint(folder, "no checkpoint", "it has no config.json")
    if not list(folder.glob("*.safetensors")):
        pickled = [p.name for pattern in _PICKLED for p in folder.glob(pattern)]
        if pickled:
            detail = (
                f"{pickled[0]} is a pickle, which may run code; save it again with "
            )
            raise BadCheckpoint(
                folder, "no safetensors", detail + "save_pretrained (safetensors)"
            )
        raise BadCheckpoint(folder, "no safetensors", "it has no *.safetensors")
    for name in ("config.json", "tokenizer_config.json"):
        _check_code(folder, name)


def _check_code(folder: Path, name: str) -> None:
    path = folder / name
    if not path.is_file():
        return
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadCheckpoint(folder, "malformed JSON", f"{name}: {error}") from None
    if not isinstance(config, dict):
        raise BadCheckpoint(folder, "malformed JSON", f"{name} is no object")
    if "auto_map" in config:
        raise BadCheckpoint(
            folder, "needs remote code", f"{name} names code to run, which is refused"
        )
