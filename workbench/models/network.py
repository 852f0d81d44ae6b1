"""Transformers models as plain functions of token ids, one seed or several at once."""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Network(nn.Module):
    """A transformers model reduced to ``ids -> outputs`` of every position.

    Args:
        model: a causal language model (outputs are logits) or a sequence classifier
            (outputs are its head, applied at every position).
        bf16: run matrix products in bfloat16 (GPU); weights, outputs and everything
            computed from them stay float32.

    Sequences are right-padded and attention is causal, so no position that counts can
    see padding and no attention mask is needed.
    """

    members = 1
    model: Any  # which parts it has, and what they are called, depends on its family

    def __init__(self, model: nn.Module, bf16: bool = False):
        super().__init__()
        self.model, self.bf16 = model, bf16

    @property
    def config(self) -> Any:
        """The transformers configuration."""
        return self.model.config

    def forward(
        self, ids: Int[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time out"]:
        """Outputs after each token."""
        if self.config.model_type != "llama":
            # other families scale or cap their logits, or name their parts otherwise
            return self.model(input_ids=ids, use_cache=False).logits
        head = self.model.score if hasattr(self.model, "score") else self.model.lm_head
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.bf16):
            outputs = head(self.model.model(input_ids=ids, use_cache=False)[0])
        return outputs.float()

    def save(self, folder: str | Path) -> None:
        """Write weights and configuration in Hugging Face format (safetensors)."""
        from transformers.utils import logging

        logging.disable_progress_bar()  # a bar for 300 kB, on stderr
        self.model.save_pretrained(folder, safe_serialization=True)

    def member(self, index: int) -> "Network":
        """A copy; a single network is its own member 0."""
        if index:
            raise IndexError(f"a single network has no member {index}")
        return copy.deepcopy(self)


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
