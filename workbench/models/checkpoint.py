"""Local checkpoints: safetensors or GGUF, no download, no remote code, no pickle.

A folder is vetted before it is read, and what was read is put to the test: every tensor
of the model came from the files, is finite, and no position sees those after it.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from workbench.core.errors import BadCheckpoint, WorkbenchError
from workbench.models import adapter, gguf_file, token_writer
from workbench.models.network import Network, Signs
from workbench.models.policy import Policy
from workbench.models.quiet import quiet
from workbench.models.tokenizer import pad_id
from workbench.models.vetting import Stored, vet

# Tables that older versions saved and newer ones compute.
_COMPUTED = re.compile(
    r"(rotary_emb\.inv_freq|\.(attn|attention)\.(masked_)?bias|position_ids)$"
)
_SPARE = 2**28  # numbers of masks and tables that a model may have beside its weights
_SHOWN = 12  # tokens of the trial
# Sums in another order move logits by a few 1e-7 of their size, a view ahead by 1e-4.
_MOVED = 1e-5


def load(
    folder: str | Path,
    base: str | Path | None = None,
    *,
    four_bits: bool = False,
) -> tuple[Policy, object]:
    """Read a causal language model and its tokenizer from a local folder.

    Args:
        folder: holds ``config.json``, ``*.safetensors`` and the tokenizer's files; or a
            LoRA adapter, which is merged into the model that it names; or a GGUF file,
            itself or in its folder, which is unpacked into the user's cache.
        base: the model that an adapter is merged into, whatever it names; a tokenizer
            that lies beside the adapter is read then.
        four_bits: hold the weights of linear layers in 4 bits (NF4), which only an
            adapter of them can be trained on.

    Returns:
        the policy and the tokenizer.

    Raises:
        BadCheckpoint: the folder is none, its weights are pickled, are not those of
            its model or not finite, it needs code of its own, is no causal language
            model, or transformers cannot read it or could not save it.
    """
    folder = unpacked(Path(folder))
    if not adapter.is_adapter(folder):
        network, tokenizer = _load(folder, four_bits)
    elif four_bits:
        detail = "weights in 4 bits take no change; merge it first, without quant=4bit"
        raise BadCheckpoint(folder, "holds an adapter", detail)
    else:
        adapter.base_name(folder)  # refuses what names code
        named = adapter.base_of(folder) if base is None else unpacked(Path(base))
        below, tokenizer = _load(named)
        with _told(folder), quiet():
            model = adapter.merge(folder, below.model)
            if base is not None and (folder / "tokenizer_config.json").is_file():
                tokenizer = _own_tokenizer(folder, model)
        signs = _signs(tokenizer, model)
        network = Network(model.eval(), signs=signs, dtype=below.dtype)
    with _told(folder):
        return Policy(network), tokenizer


def unpacked(folder: Path) -> Path:
    """The folder that is read: where a GGUF file was unpacked, or the folder itself.

    Args:
        folder: as in ``load``.

    Raises:
        BadCheckpoint: a GGUF file that cannot be unpacked, or several in the folder.
    """
    with _told(folder):
        packed = gguf_file.find(folder)
        return gguf_file.unpacked(packed) if packed else folder


def _own_tokenizer(folder: Path, model) -> object:
    """The tokenizer that lies beside an adapter."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    _check_tokenizer(folder, tokenizer, model)
    return tokenizer


def _load(folder: Path, four_bits: bool = False) -> tuple[Network, object]:
    """A whole checkpoint; see ``load``."""
    safe = {"local_files_only": True, "trust_remote_code": False}
    how = {"quantization_config": _four_bits()} if four_bits else {}
    with _told(folder):
        stored = vet(folder)
        from transformers import AutoModelForCausalLM, AutoTokenizer

        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
            _check_kind(folder, stored, safe)
            # transformers declares the model alone, and gives what was asked for
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                use_safetensors=True,
                dtype="float32",
                output_loading_info=True,
                # a shape that differs is told below, by name
                ignore_mismatched_sizes=True,
                **how,
                **safe,
            )
            model, info = loaded
        _check_loaded(folder, model, info)
        _check_tokenizer(folder, tokenizer, model)
        # the configuration stays as it came; of the weights, their precision does
        signs, precision = _signs(tokenizer, model), getattr(torch, stored.precision)
        network = Network(model.eval(), signs=signs, dtype=precision)
        _check_behaviour(folder, network)
        with quiet():
            _try_to_save(model, tokenizer)
    return network, tokenizer


def _four_bits() -> Any:
    """The weights of QLoRA (Dettmers et al. 2305.14314)."""
    from transformers import BitsAndBytesConfig

    on_gpu = torch.cuda.is_available()
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16 if on_gpu else torch.float32,
    )


def _signs(tokenizer, model) -> Signs:
    """Padding, and every end that the tokenizer, its template or the model knows."""
    known = Signs.of(model.config).ends + Signs.of(model.generation_config).ends
    every = (*token_writer.ends(tokenizer), *known)
    return Signs(pad_id(tokenizer), tuple(dict.fromkeys(every)))


def load_scorer(folder: str | Path) -> tuple[Any, Any]:
    """Read a reward model, a sequence classifier with one label, and its tokenizer.

    Args:
        folder: as in ``load``; no adapter.

    Returns:
        the transformers model and the tokenizer.

    Raises:
        BadCheckpoint: as ``load``, or it is no classifier with one label.
    """
    folder = Path(folder)
    safe = {"local_files_only": True, "trust_remote_code": False}
    with _told(folder):
        vet(folder)
        from transformers import (
            MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
            AutoConfig,
            AutoModelForSequenceClassification,
            AutoTokenizer,
        )

        with quiet():
            config = AutoConfig.from_pretrained(folder, **safe)
            known = type(config) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
            if not known or config.num_labels != 1:
                labels = f"{config.num_labels} labels" if known else "no classifier"
                detail = f"{config.model_type} with {labels}; one label is a reward"
                raise BadCheckpoint(folder, "no reward model", detail)
            tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                folder, use_safetensors=True, dtype="float32",
                output_loading_info=True, ignore_mismatched_sizes=True, **safe,
            )  # fmt: skip
            model, info = loaded
        _check_loaded(folder, model, info)
        _check_tokenizer(folder, tokenizer, model)
    return model.requires_grad_(False).eval(), tokenizer


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Whatever is raised inside is the checkpoint's fault, and is told as such."""
    try:
        yield
    except WorkbenchError:
        raise
    except BaseException as error:
        # the tokenizers package panics with an exception that is no Exception
        if not isinstance(error, Exception) and "Panic" not in type(error).__name__:
            raise
        lines = str(error).strip().splitlines() or [""]
        message = lines[0] if " " in lines[0] else f"{type(error).__name__}: {lines[0]}"
        raise BadCheckpoint(folder, "cannot be loaded", message) from error


def _check_kind(folder: Path, stored: Stored, safe: dict) -> None:
    """Before memory is taken: a causal model, of about the size of its files."""
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
    )

    config = AutoConfig.from_pretrained(folder, **safe)
    if config.is_encoder_decoder:
        detail = f"{config.model_type} is an encoder with a decoder"
        raise BadCheckpoint(folder, "no causal model", detail)
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        detail = f"{config.model_type} has no causal language model"
        raise BadCheckpoint(folder, "no causal model", detail)
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    needed = sum(p.numel() for p in shape.parameters())
    tables = sum(b.numel() for b in shape.buffers())
    # tied weights are stored once and may be counted twice
    if needed > 2 * stored.elements or tables > 2 * stored.elements + _SPARE:
        raise BadCheckpoint(
            folder, "weights do not fit", f"config.json describes {needed + tables} "
            f"numbers, the files hold {stored.elements}",
        )  # fmt: skip


def _check_loaded(folder: Path, model, info: dict) -> None:
    """Every tensor of the model comes from the files, and every one is used."""
    wrong = [f"{n} is {a} and should be {b}" for n, a, b in info["mismatched_keys"]]
    missing = [f"{name} is missing" for name in info["missing_keys"]]
    strange = [n for n in info["unexpected_keys"] if not _COMPUTED.search(n)]
    strange = [f"{name} is not part of the model" for name in strange]
    found = sorted(wrong) or sorted(missing) or sorted(strange)
    found += list(info["error_msgs"])
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise BadCheckpoint(folder, "weights do not fit", f"{found[0]}{more}")
    tables = dict(model.named_buffers())
    for name, tensor in (*model.named_parameters(), *tables.items()):
        if not tensor.is_floating_point():
            continue
        # NaN and infinity pass through, and no mask as large as the weights is made
        if tensor.numel() and torch.stack(tensor.aminmax()).isfinite().all():
            continue
        bad = ~tensor.isfinite()
        if name in tables:
            bad &= ~tensor.isneginf()  # a mask may be made of it
        if bad.any():
            detail = f"{int(bad.sum())} of {tensor.numel()} numbers of {name}"
            detail += " are NaN or infinite"
            raise BadCheckpoint(folder, "weights not finite", detail)


def _check_tokenizer(folder: Path, tokenizer, model) -> None:
    if tokenizer.eos_token_id is None:
        raise BadCheckpoint(folder, "no end of sequence", "its tokenizer has no EOS")
    last = max(tokenizer.get_vocab().values(), default=0)
    known, size = last + 1, model.get_input_embeddings().num_embeddings
    if known > size:
        detail = f"the tokenizer has {known} tokens, the model {size}"
        raise BadCheckpoint(folder, "tokenizer and model differ", detail)


@torch.no_grad()
def _check_behaviour(folder: Path, network: Network) -> None:
    """Other tokens in the second half may not move the logits of the first."""
    text = network.config.get_text_config()
    size = network.model.get_input_embeddings().num_embeddings
    longest = getattr(text, "max_position_embeddings", None) or _SHOWN
    length = max(2, min(_SHOWN, longest))
    half = length // 2
    stream = torch.Generator().manual_seed(0)
    ids = torch.randint(size, (1, length), generator=stream)
    other = ids.clone()
    # a shift is another token everywhere
    other[:, half:] = (ids[:, half:] + 1) % size
    logits, moved = network(ids), network(other)
    if not (logits.isfinite().all() and moved.isfinite().all()):
        raise BadCheckpoint(folder, "weights not finite", "its logits are NaN or inf")
    change = (logits - moved)[:, :half].abs().max()
    if change > _MOVED * logits.abs().max():
        raise BadCheckpoint(
            folder, "no causal model", "its positions see the tokens after them, as "
            "those of an encoder do",
        )  # fmt: skip


def _try_to_save(model, tokenizer) -> None:
    """All but the weights, so that no training ends in a save that cannot be done."""
    with tempfile.TemporaryDirectory() as place:
        model.config.save_pretrained(place)
        model.generation_config.save_pretrained(place)
        tokenizer.save_pretrained(place)
