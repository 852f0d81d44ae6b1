"""What a loss reads: frozen batches of log-probabilities, with their shapes.

A loss sees no model and no optimiser. It sees one of these, and returns one value per
example. The reference is detached here, once, so no loss can forget it.
"""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core.logps import Reduce, sequence_logps


@dataclass(frozen=True)
class Tokens:
    """Prompts with their responses, right-padded.

    Attributes:
        ids: prompt, response, padding.
        mask: True on response tokens, the end of sequence included.
        attention: True on every token that is not padding.
        prompt: index of the prompt in its world, −1 if it has none.
        response: index of the response in an enumeration, −1 if there is none.
    """

    ids: Int[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]
    attention: Bool[Tensor, "batch time"]
    prompt: Int[Tensor, " batch"]
    response: Int[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | Tensor) -> "Tokens":
        return Tokens(*(getattr(self, f.name)[rows] for f in fields(self)))

    @property
    def lengths(self) -> Int[Tensor, " batch"]:
        """Response tokens of each row."""
        return self.mask.sum(-1)

    def to(self, device: str | torch.device) -> "Tokens":
        """The same tokens on another device."""
        return Tokens(*(getattr(self, f.name).to(device) for f in fields(self)))

    def padded(self, time: int) -> "Tokens":
        """The same tokens with padding up to ``time`` columns."""
        extra = time - self.ids.shape[1]
        if extra < 0:
            raise ValueError(f"{self.ids.shape[1]} columns do not fit into {time}")
        # the new columns hold id 0: any id does, the masks rule
        grow = {
            name: torch.nn.functional.pad(getattr(self, name), (0, extra))
            for name in ("ids", "mask", "attention")
        }
        return replace(self, **grow)

    @staticmethod
    def cat(parts: "list[Tokens]") -> "Tokens":
        """Stack batches of different widths on top of each other."""
        time = max(part.ids.shape[1] for part in parts)
        parts = [part.padded(time) for part in parts]
        return Tokens(
            *(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Tokens))
        )


def _example_logps(
    generator: torch.Generator, batch: int, time: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Random token log-probs and a mask: a prompt column, 1 to time − 1 tokens."""
    lengths = torch.randint(1, time, (batch, 1), generator=generator)
    position = torch.arange(time)[None]
    mask = (position >= 1) & (position <= lengths)
    logps = torch.rand(batch, time, generator=generator, dtype=dtype).log()
    return torch.where(mask, logps.clamp(min=-8), 0.0), mask


@dataclass(frozen=True)
class ResponseLogps:
    """Token log-probs of single responses under the policy and the reference."""

    policy: Float[Tensor, "batch time"]
    ref: Float[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]

    def logps(self, reduce: Reduce = "sum") -> Float[Tensor, " batch"]:
        """log π(y|x), in nats a sequence (or a token for ``"mean"``)."""
        return sequence_logps(self.policy, self.mask, reduce)

    def logratio(self, reduce: Reduce = "sum") -> Float[Tensor, " batch"]:
        """log π(y|x) − log π_ref(y|x), no gradient into the reference."""
        return sequence_logps(self.policy - self.ref.detach(), self.mask, reduce)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        policy, mask = _example_logps(generator, batch, time, dtype)
        noise = torch.randn(batch, time, generator=generator, dtype=dtype)
        ref = torch.where(mask, policy + noise, 0.0).clamp(max=0)
        return cls(policy=policy, ref=ref, mask=mask)


@dataclass(frozen=True)
class PairLogps:
    """Token log-probs of a chosen and a rejected response, policy and reference."""

    policy_chosen: Float[Tensor, "batch time"]
    policy_rejected: Float[Tensor, "batch time"]
    ref_chosen: Float[Tensor, "batch time"]
    ref_rejected: Float[Tensor, "batch time"]
    chosen_mask: Bool[Tensor, "batch time"]
    rejected_mask: Bool[Tensor, "batch time"]

    @property
    def chosen(self) -> ResponseLogps:
        """The chosen responses alone."""
        return ResponseLogps(self.policy_chosen, self.ref_chosen, self.chosen_mask)

    @property
    def rejected(self) -> ResponseLogps:
        """The rejected responses alone."""
        return ResponseLogps(
            self.policy_rejected, self.ref_rejected, self.rejected_mask
        )

    def margin(self, reduce: Reduce = "sum") -> Float[Tensor, " batch"]:
        """Log-ratio of the chosen minus that of the rejected response, in nats."""
        return self.chosen.logratio(reduce) - self.rejected.logratio(reduce)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        chosen = ResponseLogps.example(generator, batch, time, dtype)
        rejected = ResponseLogps.example(generator, batch, time, dtype)
        return cls(
            policy_chosen=chosen.policy,
            policy_rejected=rejected.policy,
            ref_chosen=chosen.ref,
            ref_rejected=rejected.ref,
            chosen_mask=chosen.mask,
            rejected_mask=rejected.mask,
        )


@dataclass(frozen=True)
class PairScores:
    """Scores of a chosen and a rejected response, in reward units."""

    chosen: Float[Tensor, " batch"]
    rejected: Float[Tensor, " batch"]

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        scores = torch.randn(2, batch, generator=generator, dtype=dtype)
        return cls(chosen=scores[0], rejected=scores[1])


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
        policy, mask = _example_logps(generator, batch, time, dtype)

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
