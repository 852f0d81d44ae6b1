"""A frozen policy that a critic steers, token by token."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.core.errors import BadCall
from workbench.models.network import Network
from workbench.models.policy import Policy

# (critic, prefixes, logits of the reference) -> logits of the steered policy
Steer = Callable[[nn.Module, Tensor, Tensor], Tensor]


class SteeredPolicy(Policy):
    """π(v|s) ∝ π_ref(v|s) exp(bonus(s, v)) at every prefix s; nothing of it is trained.

    It is measured, sampled and enumerated like any other policy, and follows the
    weights of its critic.

    Args:
        reference: one policy.
        critic: what ``steer`` reads; one member.
        steer: ``(critic, ids, logits) -> logits``. ``ids`` are token numbers [batch,
            time]; ``logits`` those of the reference [batch, last, vocab] after each of
            the last tokens, −inf at forbidden ones; they are returned with the bonus
            added, in nats. How many tokens are the last ones is the caller's choice:
            all of them, or one where a token is to be written.

    Raises:
        BadCall: reference or critic is a stack; steer member by member.
    """

    def __init__(self, reference: Policy, critic: nn.Module, steer: Steer):
        if reference.members != 1 or critic.members != 1:
            raise BadCall(
                f"{critic.members} critics cannot steer {reference.members} policies "
                "at once: steer one policy by one critic"
            )
        super().__init__(_Steered(_Writer(reference, critic, steer)))
        self.ban = self.ban.to(reference.ban.device)


class _Writer(nn.Module):
    """Stands where a policy has its transformers model: the sampler writes with it."""

    def __init__(self, reference: Policy, critic: nn.Module, steer: Steer):
        super().__init__()
        self.reference, self.critic, self.steer = reference, critic, steer

    @property
    def config(self) -> Any:
        """The configuration of the reference."""
        return self.reference.network.config

    @property
    def writes(self) -> Any:
        """The reference's own transformers model."""
        return self.reference.network.model

    @property
    def generation_config(self) -> Any:
        """The generation settings of the model that writes."""
        return self.writes.generation_config

    @generation_config.setter
    def generation_config(self, settings: Any) -> None:
        self.writes.generation_config = settings

    def generate(
        self, input_ids, attention_mask, logits_processor, generation_config
    ) -> Int[Tensor, "batch time"]:
        """What the reference's model writes if its logits are steered first.

        A critic never sees the padding on the left of a short prompt: rows with the
        same padding are steered together, without it.
        """
        from transformers import LogitsProcessorList

        padding = (attention_mask == 0).sum(-1)

        def steered(ids: Tensor, logits: Tensor) -> Tensor:
            logits = logits + self.reference.ban
            moved = torch.empty_like(logits)
            for size in padding.unique().tolist():
                rows = padding == size
                last = logits[rows][:, None]
                moved[rows] = self.steer(self.critic, ids[rows, size:], last)[:, 0]
            return moved

        return self.writes.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            logits_processor=LogitsProcessorList([steered, *logits_processor]),
            generation_config=generation_config,
        )


class _Steered(Network):
    """Steered logits as a function of token numbers."""

    def forward(
        self, ids: Int[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time vocab"]:
        """Logits after each token, −inf at forbidden ones."""
        writer = self.model
        return writer.steer(writer.critic, ids, writer.reference.logits(ids))


def next_values(
    critic, ids: Int[Tensor, "batch time"], tokens: Int[Tensor, "batch last choice"]
) -> Float[Tensor, "batch last choice"]:
    """V of prefixes with one more token: one pass of the critic for each choice.

    Args:
        critic: its ``after(ids)`` is V of the prefix that ends with each token.
        ids: token numbers.
        tokens: what may follow each of the last tokens.
    """
    columns, (_, last, choices) = [], tokens.shape
    for place in range(last):
        prefix = ids[:, : ids.shape[1] - last + place + 1]
        prefix = prefix[:, None].expand(-1, choices, -1)
        grown = torch.cat([prefix, tokens[:, place, :, None]], dim=-1)
        after = critic.after(grown.flatten(0, 1))[:, -1]
        columns.append(after.unflatten(0, (-1, choices)))
    return torch.stack(columns, dim=1)
