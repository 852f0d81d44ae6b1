"""Pairs with a reward for each response token, given from outside."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.fields import constant
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import AroundPairs, PairLogps, Pairs


@dataclass(frozen=True)
class PairTokenRewards(PairLogps):
    """A pair with a reward for each response token, given from outside; constants."""

    reward_chosen: Float[Tensor, "batch time"] = constant("chosen_mask")
    reward_rejected: Float[Tensor, "batch time"] = constant("rejected_mask")

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values between −½ and ½."""
        pair = PairLogps.example(generator, batch, time, dtype)
        drawn = torch.rand(2, batch, time, generator=generator, dtype=dtype) - 0.5
        return cls(**pair.by_name, reward_chosen=drawn[0], reward_rejected=drawn[1])


@dataclass(frozen=True)
class TokenRewardPairs(AroundPairs):
    """Pairs with a reward for each response token, given from outside.

    Attributes:
        chosen_rewards: one value per token of the chosen responses, aligned with
            ``pairs.chosen.ids``.
        rejected_rewards: the same of the rejected ones.
    """

    chosen_rewards: Float[Tensor, "batch time"]
    rejected_rewards: Float[Tensor, "batch time"]

    @staticmethod
    def cat(parts: "list[TokenRewardPairs]") -> "TokenRewardPairs":
        """Data sets of one width below each other; for a stack, member-major."""
        return TokenRewardPairs(
            Pairs.cat([part.pairs for part in parts]),
            torch.cat([part.chosen_rewards for part in parts]),
            torch.cat([part.rejected_rewards for part in parts]),
        )

    def batch(self, policy, rows: Tensor, ref) -> PairTokenRewards:
        """What a loss with token rewards reads, for some of the rows."""
        pair = self.pairs.batch(policy, rows, ref)
        time = pair.policy_chosen.shape[1]
        rewards = {}
        for side in ("chosen", "rejected"):
            values = vars(self)[f"{side}_rewards"][rows].to(pair.policy_chosen.dtype)
            wide = torch.nn.functional.pad(values, (0, time - values.shape[1]))
            rewards[f"reward_{side}"] = wide
        return PairTokenRewards(**pair.by_name, **rewards)


def _of_labels(labels) -> TokenRewardPairs:
    pairs, reward = labels.pairs, labels.token_reward
    return TokenRewardPairs(pairs, reward(pairs.chosen), reward(pairs.rejected))


kind = Kind("tokens", PairTokenRewards, {("pairs", "token_reward"): _of_labels})
