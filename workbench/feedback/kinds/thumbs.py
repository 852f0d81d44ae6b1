"""Thumbs up or down on single responses; no response need have a partner."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.fields import constant
from workbench.core.memory import Table
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.kinds.responses import ResponseLogps, Responses


@dataclass(frozen=True)
class ThumbLogps(ResponseLogps):
    """Responses with a thumb up or down; no response need have a partner.

    Attributes:
        up: True for a thumb up.
        reference_point: mean log-ratio of MISMATCHED prompts and responses of the
            batch, in nats: an estimate of KL(π‖π_ref). One value per row, the same for
            all rows of a seed; a constant, and not clamped.
        reference_mean: mean log-ratio of the batch itself, in nats; a constant.
    """

    up: Bool[Tensor, " batch"] = constant()
    reference_point: Float[Tensor, " batch"] = constant(mean=True)
    reference_mean: Float[Tensor, " batch"] = constant(mean=True)

    def swapped(self):
        """The same responses; thumbs up are down and thumbs down are up."""
        return replace(self, up=~self.up)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        inner = ResponseLogps.example(generator, batch, time, dtype)
        up = torch.rand(batch, generator=generator) < 0.5
        point = torch.randn(2, batch, generator=generator, dtype=dtype)
        return cls(inner.policy, inner.ref, inner.mask, up, point[0], point[1])


@dataclass(frozen=True)
class Thumbs:
    """Responses that were called good or bad.

    Attributes:
        tokens: the responses.
        up: True for a thumb up.
        weight: how much each counts.
    """

    tokens: Tokens
    up: Bool[Tensor, " batch"]
    weight: Float[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Tensor) -> "Thumbs":
        return Thumbs(self.tokens[rows], self.up[rows], self.weight[rows])

    @cached_property
    def mismatched(self) -> Tokens:
        """Each prompt with its neighbour's response; see ``mismatched``."""
        return mismatched(self.tokens)

    @staticmethod
    def of_pairs(pairs: Pairs) -> "Thumbs":
        """The chosen responses of pairs with a thumb up, the rejected with one down.

        Partners lie apart: first all chosen, then all rejected responses.
        """
        up = torch.arange(2 * len(pairs)) < len(pairs)
        return Thumbs(pairs.both, up, pairs.weight.repeat(2))

    @staticmethod
    def cat(parts: "list[Thumbs]") -> "Thumbs":
        """Data sets below each other; for a stack of seeds, member-major."""
        return Thumbs(
            Tokens.cat([part.tokens for part in parts]),
            torch.cat([part.up for part in parts]),
            torch.cat([part.weight for part in parts]),
        )

    def reference_logps(self, reference, rows: Tensor | None = None) -> tuple[Any, Any]:
        """Reference log-probs of responses, and of the mismatched ones.

        Row i of the second answers the prompt of row i with the response of row i − 1.
        """
        own, other = (
            Responses.of(tokens).reference_logps(reference, rows)
            for tokens in (self.tokens, self.mismatched)
        )
        return own, other

    def batch(self, policy, rows: Tensor, ref: tuple[Table, Table]) -> ThumbLogps:
        """What a loss of single responses reads, for some of the rows.

        The two reference points are means over the batch of each seed.
        """
        tokens, others = self.tokens[rows], self.mismatched[rows]
        values = policy.token_logps(tokens)
        with torch.no_grad():
            wrong = policy.token_logps(others)
        own, other = (side[rows].to(values.dtype) for side in ref)

        def mean(policy_logps: Tensor, ref_logps: Tensor, mask: Tensor) -> Tensor:
            gap = torch.where(mask, policy_logps.detach() - ref_logps, 0.0).sum(-1)
            gap = gap.unflatten(0, (policy.members, -1))
            return gap.mean(-1, keepdim=True).expand_as(gap).flatten()

        return ThumbLogps(
            policy=values,
            ref=own,
            mask=tokens.mask,
            up=self.up[rows],
            reference_point=mean(wrong, other, others.mask),
            reference_mean=mean(values, own, tokens.mask),
        )


def mismatched(tokens: Tokens) -> Tokens:
    """Every prompt with the response of the row above; the first with the last's.

    Such a response was not drawn for its prompt, so a policy's mean log-ratio on it
    tells how far the policy has drifted at large (KTO's reference point). Rows of one
    prompt side by side are not mismatched at all: mix the prompts.
    """
    n, time = tokens.ids.shape
    lead = (tokens.attention & (tokens.mask.cumsum(-1) == 0)).sum(-1)
    length, source = tokens.lengths.roll(1), torch.arange(n).roll(1)
    width = int((lead + length).max())
    at = torch.arange(width).expand(n, -1)
    inside = at >= lead[:, None]
    written = inside & (at < (lead + length)[:, None])
    # column of the source row that each token is taken from
    taken = (at - lead[:, None] + lead.roll(1)[:, None]).clamp(0, time - 1)
    response = tokens.ids[source].gather(1, taken)
    prompt = tokens.ids.gather(1, at.clamp(max=time - 1))
    ids = torch.where(inside, torch.where(written, response, 0), prompt)
    return Tokens(
        ids=ids,
        mask=written,
        attention=written | ~inside,
        prompt=tokens.prompt,
        response=tokens.response.roll(1),
    ).padded(max(width, time))


def sample_thumbs(
    world,
    logps: Float[Tensor, "prompt response"],
    n: int,
    annotator: Annotator,
    generator: torch.Generator,
    reward: Float[Tensor, "prompt response"] | None = None,
    *,
    bar: float = 0.0,
) -> Thumbs:
    """Draw single responses and have each compared with a bar.

    Args:
        world: an enumerable world.
        logps: distribution that the responses are drawn from.
        n: responses, prompts in equal shares.
        annotator: who labels; p(up) = σ((r − bar)/temperature), then flipped.
        generator: source of randomness.
        reward: what the annotator perceives; gold if None.
        bar: reward above which a thumb goes up, reward units.
    """
    reward = world.gold if reward is None else reward
    tokens = world.draw(logps, n, generator)
    up = annotator.thumbs(reward[tokens.prompt, tokens.response], generator, bar)
    return Thumbs(tokens, up, torch.ones(n, dtype=torch.float64))


kind = Kind(
    "thumbs",
    ThumbLogps,
    {
        ("thumbs",): lambda labels: labels.thumbs,
        ("pairs",): lambda labels: Thumbs.of_pairs(labels.pairs),
    },
)
