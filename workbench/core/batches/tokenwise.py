"""Pairs that know more of their tokens: whole next-token laws, rewards, steps."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core.batches.pairs import PairLogps, ResponseLogps, example_logps


@dataclass(frozen=True)
class PairLaws(PairLogps):
    """A pair with the whole next-token law at each response token, as log-probs.

    ``policy_chosen_law[b, t]`` is the law that token t was drawn from; a token that may
    not be written has −inf. Columns outside the mask hold anything.
    """

    policy_chosen_law: Float[Tensor, "batch time vocab"]
    policy_rejected_law: Float[Tensor, "batch time vocab"]
    ref_chosen_law: Float[Tensor, "batch time vocab"]
    ref_rejected_law: Float[Tensor, "batch time vocab"]

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, four tokens in the vocabulary."""
        parts = {}
        for side in ("chosen", "rejected"):
            _, mask = example_logps(generator, batch, time, dtype)
            picked = torch.randint(4, (batch, time, 1), generator=generator)
            for who in ("policy", "ref"):
                noise = torch.randn(batch, time, 4, generator=generator, dtype=dtype)
                law = noise.log_softmax(-1)
                tokens = law.gather(-1, picked)[..., 0]
                parts[f"{who}_{side}_law"] = law
                parts[f"{who}_{side}"] = torch.where(mask, tokens, 0.0)
            parts[f"{side}_mask"] = mask
        return cls(**parts)


@dataclass(frozen=True)
class PairTokenRewards(PairLogps):
    """A pair with a reward for each response token, given from outside; constants."""

    reward_chosen: Float[Tensor, "batch time"]
    reward_rejected: Float[Tensor, "batch time"]

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values between −½ and ½."""
        pair = PairLogps.example(generator, batch, time, dtype)
        drawn = torch.rand(2, batch, time, generator=generator, dtype=dtype) - 0.5
        return cls(**pair.held, reward_chosen=drawn[0], reward_rejected=drawn[1])


@dataclass(frozen=True)
class PairSteps(PairLogps):
    """A pair that shares its first steps, with the step at which it parts.

    ``chosen_step`` is True on the tokens of that one step of the chosen response.
    """

    chosen_step: Bool[Tensor, "batch time"]
    rejected_step: Bool[Tensor, "batch time"]

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values; the step is a token or two before the last one."""
        pair = PairLogps.example(generator, batch, time, dtype)
        steps = []
        for mask in (pair.chosen_mask, pair.rejected_mask):
            left = mask.flip(-1).cumsum(-1).flip(-1)
            inside = (left == 2) | (left == 3) | (left.amax(-1, keepdim=True) == 1)
            steps.append(mask & inside)
        return cls(**pair.held, chosen_step=steps[0], rejected_step=steps[1])


@dataclass(frozen=True)
class ScopedPairLogps(PairLogps):
    """A pair inside the scope of a wish, a response outside it and one near it.

    The responses outside and near are the reference's own: there nothing is to change.
    """

    policy_outside: Float[Tensor, "batch time"]
    ref_outside: Float[Tensor, "batch time"]
    outside_mask: Bool[Tensor, "batch time"]
    policy_near: Float[Tensor, "batch time"]
    ref_near: Float[Tensor, "batch time"]
    near_mask: Bool[Tensor, "batch time"]

    @property
    def outside(self) -> ResponseLogps:
        """The responses to prompts out of scope."""
        return ResponseLogps(self.policy_outside, self.ref_outside, self.outside_mask)

    @property
    def near(self) -> ResponseLogps:
        """The responses to prompts near the scope."""
        return ResponseLogps(self.policy_near, self.ref_near, self.near_mask)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        parts = PairLogps.example(generator, batch, time, dtype).held
        for place in ("outside", "near"):
            one = ResponseLogps.example(generator, batch, time, dtype)
            parts[f"policy_{place}"] = one.policy
            parts[f"ref_{place}"] = one.ref
            parts[f"{place}_mask"] = one.mask
        return cls(**parts)
