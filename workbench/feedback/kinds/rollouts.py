"""Responses that the policy wrote itself, with their reward."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.errors import BadCall
from workbench.core.fields import constant, frozen, learned, masks
from workbench.core.logps import last_token
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.responses import example_logps


def _filled(values: Tensor | None, name: str) -> Tensor:
    """What a loop fills in, for a loss that cannot do without."""
    if values is None:
        raise BadCall(
            f"these rollouts have no {name}: loops.online fills them in, what a critic "
            "predicts and is to predict only where there is one"
        )
    return values


@dataclass(frozen=True)
class Rollouts:
    """Responses sampled from the policy, with what was known when they were.

    What may be None is read through ``advantage``, ``value``, ``old_value`` and
    ``target``, which say so if it is.

    Attributes:
        policy: token log-probs under the policy that learns.
        old: token log-probs under the policy that sampled.
        ref: token log-probs under the reference.
        mask: True on response tokens.
        scores: reward of the whole response, in reward units.
        group: responses per prompt, side by side in the batch.
        advantages: what ``advantages(rollouts, cfg)`` returned, a value per token.
        values: V of the critic that learns, before each token.
        old_values: V of the critic when the responses were sampled.
        returns: what the critic is to predict, before any whitening.
        token_scores: a reward for each token, reward units; None where the score of
            the whole response is all there is. ``scores`` is then their sum.
        part_scores: each of several rewards of the response, reward units; None where
            there is one. ``scores`` is then their sum.
    """

    policy: Float[Tensor, "batch time"] = learned("mask")
    old: Float[Tensor, "batch time"] = frozen("mask")
    ref: Float[Tensor, "batch time"] = frozen("mask")
    mask: Bool[Tensor, "batch time"] = masks()
    scores: Float[Tensor, " batch"] = constant()
    group: int = 1
    advantages: Float[Tensor, "batch time"] | None = constant("mask", default=None)
    values: Float[Tensor, "batch time"] | None = learned(
        "mask", logps=False, default=None
    )
    old_values: Float[Tensor, "batch time"] | None = frozen(
        "mask", logps=False, default=None
    )
    returns: Float[Tensor, "batch time"] | None = constant("mask", default=None)
    token_scores: Float[Tensor, "batch time"] | None = constant("mask", default=None)
    part_scores: Float[Tensor, "batch rewards"] | None = constant(default=None)

    def __getitem__(self, rows: slice | Tensor) -> "Rollouts":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        picked = {k: v[rows] for k, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **picked)

    @property
    def advantage(self) -> Float[Tensor, "batch time"]:
        """A of each token; raises BadCall where ``advantages`` is None."""
        return _filled(self.advantages, "advantages")

    @property
    def value(self) -> Float[Tensor, "batch time"]:
        """V of the critic that learns; raises BadCall where ``values`` is None."""
        return _filled(self.values, "values")

    @property
    def old_value(self) -> Float[Tensor, "batch time"]:
        """V when the responses were sampled; raises BadCall where there is none."""
        return _filled(self.old_values, "old_values")

    @property
    def target(self) -> Float[Tensor, "batch time"]:
        """What the critic is to predict; raises BadCall where ``returns`` is None."""
        return _filled(self.returns, "returns")

    @property
    def old_logratio(self) -> Float[Tensor, "batch time"]:
        """log π_old − log π_ref of each token, in nats, without gradient."""
        gap = (self.old - self.ref).detach()
        return torch.where(self.mask, gap, torch.zeros_like(gap))

    @property
    def paid(self) -> Float[Tensor, "batch time"]:
        """The reward at each token: its own, or the whole score at the last one."""
        if self.token_scores is not None:
            return torch.where(self.mask, self.token_scores, 0.0)
        return torch.where(self.last, self.scores[:, None], 0.0)

    @property
    def last(self) -> Bool[Tensor, "batch time"]:
        """True on the last response token, where the score is paid."""
        return last_token(self.mask)

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


kind = Kind("own responses", Rollouts)
