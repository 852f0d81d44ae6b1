"""The exact value of a policy at every prefix: what its critic is to predict."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure.exact import response_logps
from workbench.methods.values import soft_backup

if TYPE_CHECKING:
    import pandas


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


def beside_critic(
    policy,
    critic,
    world,
    ref_logps: Float[Tensor, "prompt response"],
    beta: float,
    often: float = 0.0,
) -> "pandas.DataFrame":
    """What a critic says beside the exact value, at every prefix.

    Args:
        policy: the policy that is judged, or a stack.
        critic: a ``ValueModel``, or a stack of as many.
        world: an enumerable world.
        ref_logps: log π_ref.
        beta: reward units per nat.
        often: leave out the prefixes that are visited with a smaller chance.

    Returns:
        DataFrame[seed, visits, exact, critic]: the chance of a visit, and two values in
        reward units; one row per seed, prompt and prefix.
    """
    import pandas as pd

    chance = visits(policy, world)
    true, guess = of_policy(policy, world, ref_logps, beta), critic.value_all(world)
    seeds = torch.arange(len(chance))[:, None, None].expand_as(chance)
    kept = chance >= often
    columns = {"visits": chance, "exact": true, "critic": guess.reshape(true.shape)}
    values = {name: table[kept].tolist() for name, table in columns.items()}
    return pd.DataFrame({"seed": seeds[kept].tolist(), **values})
