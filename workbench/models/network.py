"""Transformers models as plain functions of token ids, one seed or several at once."""

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from workbench.core.logps import token_logps
from workbench.models import picked, replay


@dataclass(frozen=True)
class Signs:
    """Tokens that say something of a sequence and nothing in it.

    Attributes:
        pad: fills rows up; masks, not this token, tell what is padding.
        ends: each of them ends a response.
    """

    pad: int | None
    ends: tuple[int, ...]

    @staticmethod
    def of(config: Any) -> "Signs":
        """What a transformers configuration says; its end may be one or several."""
        ends = getattr(config, "eos_token_id", None)
        ends = ends if isinstance(ends, list | tuple) else [ends]
        pad = getattr(config, "pad_token_id", None)
        return Signs(pad, tuple(end for end in ends if end is not None))


class Network(nn.Module):
    """A transformers model reduced to ``ids -> outputs`` of every position.

    Args:
        model: a causal language model (outputs are logits) or a sequence classifier
            (outputs are its head, applied at every position).
        bf16: run matrix products in bfloat16 (GPU); weights, outputs and everything
            computed from them stay float32.
        signs: tokens that pad and end a sequence; None takes the configuration's.
        dtype: how weights are written to the disk; None writes them as they are.

    Sequences are right-padded and attention is causal, so no position that counts can
    see padding and no attention mask is needed.
    """

    members = 1
    replays = False  # layers run again in the backward pass
    model: Any  # which parts it has, and what they are called, depends on its family

    def __init__(
        self,
        model: nn.Module,
        bf16: bool = False,
        signs: "Signs | None" = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.model, self.bf16, self.dtype = model, bf16, dtype
        self.signs = Signs.of(model.config) if signs is None else signs

    @property
    def config(self) -> Any:
        """The transformers configuration."""
        return self.model.config

    def forward(
        self, ids: Int[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time out"]:
        """Outputs after each token."""
        with self._mode(ids):
            if self.config.model_type != "llama":
                # others scale or cap their logits, or name their parts otherwise
                return self.model(input_ids=ids, use_cache=False).logits.float()
            head = getattr(self.model, "score", None) or self.model.lm_head
            return head(self.model.model(input_ids=ids, use_cache=False)[0]).float()

    @contextmanager
    def _mode(self, ids: Tensor) -> Iterator[None]:
        with (
            torch.autocast(ids.device.type, torch.bfloat16, enabled=self.bf16),
            replay.listening(self.model) if self.replays else nullcontext(),
        ):
            yield

    def save_memory(self) -> None:
        """Keep a layer's input alone for the backward pass, which runs it again.

        Raises:
            BadOption: transformers cannot do so for this family.
        """
        replay.mark(self.model)
        self.replays = True

    @cached_property
    def tail(self) -> "picked.Tail | None":
        """What follows the head where ``picked`` can be of use; None elsewhere."""
        large = self.config.get_text_config().vocab_size >= picked.WORDS
        return picked.tail_of(self.model) if large else None

    def token_logps(
        self,
        ids: Int[Tensor, "batch time"],
        mask: Bool[Tensor, "batch time"],
        ban: Float[Tensor, " vocab"],
    ) -> Float[Tensor, "batch time"]:
        """log π(token | before) where the mask is True, 0 elsewhere, in nats.

        Args:
            ids: of the tokens.
            mask: True where a token counts.
            ban: is added to the logits: 0, or −inf for tokens never written.
        """
        if self.tail is None:
            return token_logps(self(ids) + ban, ids, mask)
        with self._mode(ids):
            hidden = self.model.base_model(input_ids=ids, use_cache=False)[0]
            head = self.model.get_output_embeddings()
            return picked.logps(hidden, ids, mask, head, self.tail, ban)

    def save(self, folder: str | Path) -> None:
        """Write weights and configuration in Hugging Face format (safetensors)."""
        from transformers.utils import logging

        logging.disable_progress_bar()  # a bar for 300 kB, on stderr
        if self.dtype in (None, self.model.dtype):
            self.model.save_pretrained(folder, safe_serialization=True)
            return
        narrow = _cast(self.model.state_dict(), self.dtype)
        self.model.save_pretrained(folder, safe_serialization=True, state_dict=narrow)
        config = Path(folder) / "config.json"
        told = json.loads(config.read_text(encoding="utf-8"))
        told["dtype"] = str(self.dtype).removeprefix("torch.")
        config.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    def member(self, index: int) -> "Network":
        """A copy; a single network is its own member 0."""
        if index:
            raise IndexError(f"a single network has no member {index}")
        return copy.deepcopy(self)


def _cast(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights in another precision; what was one tensor under two names stays one."""
    made: dict[tuple, Tensor] = {}
    for tensor in state.values():
        place = tensor.data_ptr(), tensor.shape
        made.setdefault(
            place, tensor.to(dtype) if tensor.is_floating_point() else tensor
        )
    return {name: made[t.data_ptr(), t.shape] for name, t in state.items()}


class Stacked(nn.Module):
    """Several networks of one shape, run as one batched model (``torch.func.vmap``).

    Rows are member-major: the first ``batch / members`` rows belong to member 0. Each
    member's parameters see only its own rows, so training the stack is training each
    member alone, at a fraction of the overhead.

    Args:
        networks: networks of the same configuration; a stack gives all its members.
    """

    def __init__(self, networks: "Sequence[Network | Stacked]"):
        super().__init__()
        networks = _singles(networks)
        params, _ = torch.func.stack_module_state(networks)
        self.members = len(networks)
        self.names = list(params)
        self.stacked = nn.ParameterList(params[n].detach().clone() for n in self.names)
        # hidden in a tuple: the template lends its code, not its parameters
        self._template = (networks[0],)

    @property
    def config(self) -> Any:
        """The configuration shared by all members."""
        return self._template[0].config

    @property
    def signs(self) -> Signs:
        """What pads and ends a sequence, for all members."""
        return self._template[0].signs

    def forward(
        self, ids: Int[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time out"]:
        """Outputs after each token; rows are member-major."""
        template = self._template[0]

        def one(params, rows):
            return torch.func.functional_call(template, params, (rows,))

        params = dict(zip(self.names, self.stacked, strict=True))
        rows = ids.unflatten(0, (self.members, -1))
        return torch.func.vmap(one)(params, rows).flatten(0, 1)

    def token_logps(self, ids: Tensor, mask: Tensor, ban: Tensor) -> Tensor:
        """As ``Network.token_logps``; rows are member-major."""
        return token_logps(self(ids) + ban, ids, mask)

    def member(self, index: int) -> Network:
        """A copy of one member as a network of its own."""
        network = copy.deepcopy(self._template[0])
        state = {n: p[index] for n, p in zip(self.names, self.stacked, strict=True)}
        network.load_state_dict(state, strict=False)
        return network.requires_grad_(self.stacked[0].requires_grad)

    def save(self, folder: str | Path) -> None:
        """Write each member into ``member-0``, ``member-1``, …; one alone as itself."""
        for index in range(self.members):
            alone = self.members == 1
            self.member(index).save(
                folder if alone else Path(folder) / f"member-{index}"
            )


def _singles(networks: Iterable[Network | Stacked]) -> list[Network]:
    """The networks themselves, and the members of stacks: a stack holds no stack."""
    found: list[Network] = []
    for network in networks:
        if isinstance(network, Stacked):
            found += [network.member(index) for index in range(network.members)]
        else:
            found.append(network)
    return found
