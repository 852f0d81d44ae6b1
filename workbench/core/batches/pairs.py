"""Log-probabilities of single responses and of pairs of them."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.logps import Reduce, sequence_logps


def example_logps(
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
        policy, mask = example_logps(generator, batch, time, dtype)
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

    @property
    def held(self) -> dict[str, Tensor]:
        """The tensors by name, to make a pair that knows more of them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

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
