"""The exact value of a policy at every prefix: what its critic is to predict."""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure.exact import response_logps
from workbench.methods.values import soft_backup


@torch.no_grad()
def of_policy(
    policy,
    world,
    ref_logps: Float[Tensor, "prompt response"],
    beta: float,
    reward: Float[Tensor, "prompt response"] | None = None,
) -> Float[Tensor, "member prompt node"]:
    """V^π(s) = E_π[r(y) − β Σ_{t ≥ s} log π/π_ref | s], reward units, float64.

    Only the KL still to come counts: what was spent on the way to s is no part of it.

    Args:
        policy: a policy, a stack of policies, or their log-probs over all responses;
            no token may be impossible.
        world: an enumerable world.
        ref_logps: log π_ref.
        beta: reward units per nat.
        reward: reward units; gold if None.
    """
    logps, tree = response_logps(policy, world), world.tree
    ref = ref_logps.detach().double()
    goal = world.gold if reward is None else reward.double()
    now, was = tree.conditionals(logps), tree.conditionals(ref)
    whole = soft_backup.linear(tree, now, goal - beta * (logps - ref)).V
    return whole + beta * (tree.reach_logps(now) - tree.reach_logps(was))


@torch.no_grad()
def visits(policy, world) -> Float[Tensor, "member prompt node"]:
    """The chance that a response passes through each prefix; 1 at the root."""
    return world.tree.reach_logps(
        world.tree.conditionals(response_logps(policy, world))
    ).exp()
