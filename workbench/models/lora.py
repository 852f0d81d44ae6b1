"""LoRA: a small trained change beside frozen weights, with the reference inside.

The reference is the same model with the adapter off, so that nothing is kept twice. An
adapter is saved as peft saves it, and read again by ``models.checkpoint``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.core.errors import BadOption, printable
from workbench.core.seeds import generator
from workbench.models.network import Network
from workbench.models.policy import Policy

NAMES = "r=16,alpha=32,targets=q_proj+v_proj"
NAME = "default"  # peft's own name of the one adapter there is


@dataclass(frozen=True)
class Shape:
    """How large an adapter is, and where.

    Attributes:
        r: rank of the change of each matrix.
        alpha: the change is multiplied by alpha / r.
        targets: names of the linear layers; none are the ones that peft knows for the
            family, "all-linear" every one but the head.
        quant: "4bit" holds the frozen weights in 4 bits by bitsandbytes (QLoRA).
    """

    r: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ()
    quant: str | None = None

    def __post_init__(self) -> None:
        if self.quant not in (None, "4bit"):
            said = printable(self.quant, 60)
            raise BadOption(f"--lora: quant is 4bit, not {said!r}")
        if self.quant is not None and find_spec("bitsandbytes") is None:
            raise BadOption("--lora: quant=4bit needs the package bitsandbytes")
        if self.r < 1 or self.alpha < 1:
            raise BadOption(f"--lora: r and alpha are positive, not {self}")


def parse(text: str) -> Shape:
    """A shape from the words of the command, such as ``r=8,alpha=16``.

    Raises:
        BadOption: a name or a value that is none.
    """
    given: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        kinds = {"r": int, "alpha": int, "targets": lambda v: tuple(v.split("+"))}
        kinds |= {"quant": str}
        try:
            given[name] = kinds[name](value)
        except (KeyError, ValueError):
            said = printable(part, 60)
            raise BadOption(f"--lora is like {NAMES}, not {said!r}") from None
    return Shape(**given)


class Adapted(Network):
    """A network with an adapter in it; only the adapter is trained and saved.

    Args:
        wrapped: peft's model.
        base: the network that it was made of, for its signs.
    """

    def __init__(self, wrapped: Any, base: Network):
        super().__init__(wrapped.get_base_model(), base.bf16, base.signs, base.dtype)
        self.replays = base.replays
        # hidden in a tuple: its parts are those of the model already
        self._wrapped = (wrapped,)
        # a kept state holds what is trained: the rest is in the checkpoint
        self.register_state_dict_post_hook(_trained_only)
        self.register_load_state_dict_post_hook(_rest_is_there)

    def save(self, folder: str | Path) -> None:
        """Write the adapter's weights and configuration, as peft does."""
        self._wrapped[0].save_pretrained(folder)


class Off(Adapted):
    """The same network as if it had no adapter: the reference."""

    @contextmanager
    def _mode(self, ids: Tensor) -> Iterator[None]:
        with super()._mode(ids), self._wrapped[0].disable_adapter():
            yield


class Lora:
    """A frozen policy with a place for an adapter.

    Args:
        policy: one member; its weights are frozen and stay as they are.
        shape: of the adapter.

    Attributes:
        reference: the policy with the adapter off.

    Raises:
        BadOption: the model has no layers of these names.
    """

    def __init__(self, policy: Policy, shape: Shape):
        base: Any = policy.network  # one member: a Network, and no stack
        self._base = base
        self._wrapped = _wrapped(base.model, shape, "CAUSAL_LM")
        self.reference = Policy(Off(self._wrapped, self._base)).eval()

    @property
    def size(self) -> tuple[int, int]:
        """How many numbers are trained, and how many there are."""
        sizes = {n: p.numel() for n, p in self._wrapped.named_parameters()}
        return sum(k for n, k in sizes.items() if "lora_" in n), sum(sizes.values())

    def start(self, seed: int) -> Policy:
        """The policy with a fresh adapter, which changes nothing yet.

        An adapter that was trained before is forgotten: save it first.
        """
        _reset(self._wrapped, seed)
        return Policy(Adapted(self._wrapped, self._base))


def _is_trained(name: str) -> bool:
    return "lora_" in name or ".modules_to_save." in name


def _trained_only(module: Any, state: dict, prefix: str, metadata: Any) -> None:
    for name in [n for n in state if n.startswith(prefix) and not _is_trained(n)]:
        del state[name]


def _rest_is_there(module: Any, found: Any) -> None:
    found.missing_keys[:] = [n for n in found.missing_keys if _is_trained(n)]


def fresh_adapter(model: Any, shape: Shape, task: str, seed: int) -> Any:
    """A transformers model with an adapter that changes nothing yet, as peft wraps it.

    Args:
        model: its weights are frozen, but for the head of a classifier.
        shape: of the adapter.
        task: peft's word for what the model is, such as SEQ_CLS.
        seed: of the adapter's first weights.

    Raises:
        BadOption: the model has no layers of these names.
    """
    wrapped = _wrapped(model, shape, task)
    _reset(wrapped, seed)
    return wrapped


def _wrapped(model: Any, shape: Shape, task: str) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        task_type=task, r=shape.r, lora_alpha=shape.alpha,
        target_modules=_targets(shape), lora_dropout=0.0,
    )  # fmt: skip
    model.requires_grad_(False)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        first = printable(str(error).splitlines()[0], 200)
        raise BadOption(f"--lora: {first}") from None


def _reset(wrapped: Any, seed: int) -> None:
    """Draw an adapter anew; it is trained, with what peft saves beside it."""
    from peft.tuners.lora import LoraLayer

    with torch.random.fork_rng(devices=[]):  # peft draws from the global stream
        torch.manual_seed(generator(seed, "lora").initial_seed())
        for layer in wrapped.modules():
            if isinstance(layer, LoraLayer):
                layer.reset_lora_parameters(NAME, init_lora_weights=True)
    for name, weights in wrapped.named_parameters():
        weights.requires_grad_(_is_trained(name))


def _targets(shape: Shape) -> list[str] | str | None:
    if shape.targets == ("all-linear",):
        return "all-linear"
    return list(shape.targets) or None
