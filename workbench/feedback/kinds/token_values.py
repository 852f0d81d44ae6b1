"""Responses with their reward, from which a critic learns the value of every token."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from workbench.core.fields import constant, frozen, learned, masks
from workbench.core.logps import last_token
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.responses import example_logps
from workbench.feedback.kinds.scored_prefixes import ScoredResponses, of_both


@dataclass(frozen=True)
class TokenValues:
    """What a critic of tokens says along responses, reward units.

    Column t holds what it says of the prefix s_t in which token t was written.

    Attributes:
        q: Q(s_t, a) of every token a; a critic may have several heads.
        v: V(s_t).
        target: Q of the token that was written, of the slow copy of each head.
        taken: which token was written, its place on the last axis of ``q``.
        mask: True on response tokens.
        scores: reward of the whole response.
    """

    q: Float[Tensor, "batch time head token"] = learned("mask", logps=False)
    v: Float[Tensor, "batch time"] = learned("mask", logps=False)
    target: Float[Tensor, "batch time head"] = frozen("mask", logps=False)
    taken: Int[Tensor, "batch time"] = constant("mask")
    mask: Bool[Tensor, "batch time"] = masks()
    scores: Float[Tensor, " batch"] = constant()

    @property
    def taken_q(self) -> Float[Tensor, "batch time head"]:
        """Q of the token that was written, of each head."""
        return picked(self.q, self.taken)

    @property
    def next_v(self) -> Float[Tensor, "batch time"]:
        """V where the next response token is written, 0 after the last one.

        Between two turns of a conversation that is the first token of the next turn:
        what others say in between is no choice.
        """
        time = self.mask.shape[-1]
        here = torch.where(self.mask, torch.arange(time), time)
        # the first response token at or behind each column, then strictly behind it
        place = here.flip(-1).cummin(-1).values.flip(-1)
        place = pad(place[:, 1:], (0, 1), value=time)
        return pad(self.v, (0, 1)).gather(-1, place)

    @property
    def rewards(self) -> Float[Tensor, "batch time"]:
        """The score on the last response token, 0 elsewhere."""
        return torch.where(last_token(self.mask), self.scores[:, None], 0.0)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        _, mask = example_logps(generator, batch, time, dtype)
        heads, tokens = 2, 4

        def noise(*more: int) -> Tensor:
            shape = (batch, time, *more)
            made = torch.randn(shape, generator=generator, dtype=dtype)
            return torch.where(mask.reshape(batch, time, *[1] * len(more)), made, 0.0)

        q = noise(heads, tokens)
        taken = torch.randint(tokens, (batch, time), generator=generator)
        return cls(
            q=q,
            v=noise(),
            target=picked(q, taken) + noise(heads) / 2,
            taken=taken,
            mask=mask,
            scores=torch.randn(batch, generator=generator, dtype=dtype),
        )


def picked(
    q: Float[Tensor, "batch time head token"], taken: Int[Tensor, "batch time"]
) -> Float[Tensor, "batch time head"]:
    """The values of the tokens that were written."""
    place = taken[..., None, None].expand(*q.shape[:-1], 1)
    return q.gather(-1, place)[..., 0]


class TokenResponses(ScoredResponses):
    """Responses and their rewards, from whichever policy they come."""

    def batch(self, critic, rows: Tensor, ref: None) -> TokenValues:
        """What a token-level value loss reads.

        Args:
            critic: its ``before(tokens)`` has ``q``, ``target`` and ``v``.
            rows: of the data set.
            ref: nothing; a critic has no reference.
        """
        tokens = self.tokens[rows]
        read = critic.before(tokens)
        target = picked(read.target, tokens.ids).detach()
        scores = self.scores[rows].to(read.v.dtype)
        return TokenValues(read.q, read.v, target, tokens.ids, tokens.mask, scores)


kind = Kind(
    "scored responses",
    TokenValues,
    {("pairs", "utilities"): lambda labels: TokenResponses(*of_both(labels))},
)
