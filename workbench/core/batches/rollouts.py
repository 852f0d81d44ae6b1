"""Responses sampled from the policy, for online, game and value methods."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.batches.pairs import ResponseLogps, example_logps


@dataclass(frozen=True)
class Rollouts:
    """Responses sampled from the policy, with what was known when they were.

    Attributes:
        policy: token log-probs under the policy that learns.
        old: token log-probs under the policy that sampled.
        ref: token log-probs under the reference.
        mask: True on response tokens.
        scores: reward of the whole response, in reward units.
        group: responses a prompt, side by side in the batch.
        advantages: what ``advantages(rollouts, cfg)`` returned, a value a token.
        values: V of the critic that learns, before each token.
        old_values: V of the critic when the responses were sampled.
        returns: what the critic is to predict, before any whitening.
    """

    policy: Float[Tensor, "batch time"]
    old: Float[Tensor, "batch time"]
    ref: Float[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]
    scores: Float[Tensor, " batch"]
    group: int
    advantages: Float[Tensor, "batch time"] | None = None
    values: Float[Tensor, "batch time"] | None = None
    old_values: Float[Tensor, "batch time"] | None = None
    returns: Float[Tensor, "batch time"] | None = None

    def __getitem__(self, rows: slice | Tensor) -> "Rollouts":
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        picked = {k: v[rows] for k, v in held.items() if isinstance(v, Tensor)}
        return replace(self, **picked)

    @property
    def old_logratio(self) -> Float[Tensor, "batch time"]:
        """log π_old − log π_ref of each token, in nats, without gradient."""
        gap = (self.old - self.ref).detach()
        return torch.where(self.mask, gap, torch.zeros_like(gap))

    @property
    def last(self) -> Bool[Tensor, "batch time"]:
        """True on the last response token, where the score is paid."""
        after = torch.nn.functional.pad(self.mask[:, 1:], (0, 1))
        return self.mask & ~after

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        policy, mask = example_logps(generator, batch, time, dtype)

        def noise(scale: float) -> Tensor:
            drawn = torch.randn(batch, time, generator=generator, dtype=dtype)
            return torch.where(mask, scale * drawn, 0.0)

        values = noise(1.0)
        return cls(
            policy=policy,
            old=(policy + noise(0.3)).clamp(max=0),
            ref=(policy + noise(1.0)).clamp(max=0),
            mask=mask,
            scores=torch.randn(batch, generator=generator, dtype=dtype),
            group=2,
            advantages=noise(1.0),
            values=values,
            old_values=values + noise(0.5),
            returns=values + noise(0.5),
        )


@dataclass(frozen=True)
class GameRollouts:
    """Responses of the policy and how often each beats its opponent.

    Attributes:
        policy: token log-probs under the policy that learns.
        ref: token log-probs under the reference.
        mask: True on response tokens.
        preference: p(y ≻ y′) for the opponent's response y′, a probability.
    """

    policy: Float[Tensor, "batch time"]
    ref: Float[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]
    preference: Float[Tensor, " batch"]

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        inner = ResponseLogps.example(generator, batch, time, dtype)
        preference = torch.rand(batch, generator=generator, dtype=dtype)
        return cls(inner.policy, inner.ref, inner.mask, preference)


@dataclass(frozen=True)
class ValueRollouts:
    """Value predictions along sampled responses.

    Attributes:
        values: V(s_t) before each response token, of the critic that learns.
        old_values: the same from the critic at the start of the batch.
        mask: True on response tokens.
        scores: reward of the whole response, in reward units.
    """

    values: Float[Tensor, "batch time"]
    old_values: Float[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]
    scores: Float[Tensor, " batch"]

    @property
    def rewards(self) -> Float[Tensor, "batch time"]:
        """The score on the last response token, 0 elsewhere."""
        after = torch.nn.functional.pad(self.mask[:, 1:], (0, 1))
        return torch.where(self.mask & ~after, self.scores[:, None], 0.0)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        drawn = Rollouts.example(generator, batch, time, dtype)
        return cls(drawn.values, drawn.old_values, drawn.mask, drawn.scores)
