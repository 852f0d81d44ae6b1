"""Credit of tokens along training: do implicit rewards follow Q* − V*, and which V?

A policy that weighs each next token by V^ref, what π_ref earns behind it, is the
one-step-greedy policy; one that weighs it by V* is π*_β. Token-level methods differ in
which of the two they approach.
"""

import torch
from jaxtyping import Float

from workbench.core.tokens import Tokens
from workbench.measure import token_advantages
from workbench.measure.exact import response_logps
from workbench.methods.values import soft_backup
from workbench.worlds import solutions

Logps = Float[torch.Tensor, "prompt response"]


def greedy_policy(
    world, ref_logps: Logps, beta: float, reward: Logps | None = None
) -> Logps:
    """log π(y|x) of π(a|s) ∝ π_ref(a|s) exp(V^ref(s·a)/β).

    Args:
        world: an enumerable world.
        ref_logps: log π_ref.
        beta: reward units per nat.
        reward: reward units; gold if None.
    """
    goal = world.gold if reward is None else reward
    was = world.tree.conditionals(ref_logps.detach().double())
    values = soft_backup.linear(world.tree, was, goal.double())
    return world.tree.response_logps((was + values.Q / beta).log_softmax(-1))


class CreditTracker:
    """Agreement of token rewards with the exact advantage, for a loop's ``measures``.

    Called on a policy or a stack it returns DataFrame[seed, depth 0, depth 1, …, rank,
    kl_to_greedy]: correlations over all tokens of a depth, as often as π_ref writes
    them; the rank correlation over the tokens of given responses; KL(π‖greedy) in nats
    per sequence, the mean over prompts. Before the first step, where every token reward
    is 0, a correlation is rounding error or NaN.

    Args:
        world: an enumerable world.
        reference: one policy.
        responses: responses with ``prompt`` and ``response`` numbers.
        beta: reward units per nat.
        reward: reward units; gold if None.
    """

    def __init__(
        self,
        world,
        reference,
        responses: Tokens,
        beta: float,
        reward: Logps | None = None,
    ):
        self.world, self.reference, self.responses = world, reference, responses
        self.given = {"reward": reward, "beta": beta}
        self.ref = response_logps(reference, world)[0]
        self.greedy = greedy_policy(world, self.ref, beta, reward)

    def __call__(self, policy):
        """One row per seed."""
        logps = response_logps(policy, self.world)
        by = token_advantages.exact_by_depth(logps, self.world, self.ref, **self.given)
        by = by.pivot(index="seed", columns="depth", values="correlation")
        asked = (self.responses.prompt, self.responses.response)
        tokens = token_advantages.beside_advantage(
            policy, self.reference, self.world, *asked, **self.given
        )
        # equal numbers that differ by rounding are ties, not ranks
        near = tokens[["seed", "reward", "advantage"]].round(6)
        both = near.groupby("seed").corr("spearman")
        frame = by.add_prefix("depth ").rename_axis(columns=None)
        frame["rank"] = both["reward"].xs("advantage", level=1)
        frame["kl_to_greedy"] = solutions.kl(logps, self.greedy).mean(-1).tolist()
        return frame.reset_index()
