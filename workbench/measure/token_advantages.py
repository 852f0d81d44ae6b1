"""Implicit rewards of tokens beside the exact advantage A* = Q* − V*.

At π*_β they are the same number: β log π*(a|s)/π_ref(a|s) = Q*(s, a) − V*(s). It says
where the value changes, not where reward is paid (Rafailov et al. 2024, 2404.12358).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.tokens import Tokens
from workbench.measure.exact import response_logps
from workbench.measure.implicit_reward import of_tokens
from workbench.methods.values import soft_backup


def beside_advantage(
    policy,
    reference,
    world,
    prompt: Int[Tensor, "batch"],
    response: Int[Tensor, "batch"],
    *,
    reward: Float[Tensor, "prompt response"] | None = None,
    beta: float,
):
    """Token implicit rewards of given responses, with the exact advantages.

    Args:
        policy: a policy, or a stack of them; each member reads every response.
        reference: one policy.
        world: an enumerable world.
        prompt: number of each prompt.
        response: number of each response.
        reward: what the advantage is of, reward units; gold if None.
        beta: reward units per nat, of the implicit reward and of V* alike.

    Returns:
        DataFrame[seed, row, position, token, reward, advantage, value], one row per
        token: reward = β log π/π_ref, advantage = Q* − V* (V* holds π_ref, Q* does
        not), value = V* before the token is written; all in reward units. The
        advantages of a response add up to r(x, y) − β log Z(x).
    """
    tokens = Tokens.cat([world.tokens(prompt, response)] * policy.members)
    frame = of_tokens(policy, reference, tokens, beta, world.vocab)
    goal = world.gold if reward is None else reward
    conditionals = world.tree.conditionals(response_logps(reference, world)[0])
    exact = soft_backup.backup(world.tree, conditionals, goal.double(), beta)
    nodes, actions = world.tree.paths(tokens.response)
    rows, time = (actions >= 0).nonzero(as_tuple=True)
    where = (tokens.prompt[rows], nodes[rows, time])
    frame["advantage"] = exact.advantage[*where, actions[rows, time]].tolist()
    frame["value"] = exact.V[where].tolist()
    return frame


def _agreement(reward: Tensor, advantage: Tensor, weight: Tensor) -> dict[str, float]:
    """Weighted correlation, slope and root mean squared difference."""
    w = weight / weight.sum()
    x, y = (value - (w * value).sum() for value in (advantage, reward))
    cross, own, other = ((w * v).sum() for v in (x * y, x * x, y * y))
    apart = (w * (reward - advantage) ** 2).sum().sqrt().item()
    both = (own * other).sqrt()
    return {
        "correlation": (cross / both).item() if both > 0 else float("nan"),
        "slope": (cross / own).item() if own > 0 else float("nan"),
        "rmse": apart,
    }


def by_depth(frame):
    """Agreement of token rewards and advantages at each position.

    Args:
        frame: as ``beside_advantage`` gives it.

    Returns:
        DataFrame[seed, depth, correlation, slope, rmse, n]; depth counts the tokens
        before; slope is of rewards on advantages; rmse in reward units. All are those
        of the responses that were given: longer ones alone reach the last depths.
    """
    import pandas as pd

    rows = []
    for (seed, depth), group in frame.groupby(["seed", "position"]):
        sides = (torch.tensor(group[k].tolist()) for k in ("reward", "advantage"))
        reward, advantage = (side.double() for side in sides)
        table = _agreement(reward, advantage, torch.ones_like(reward))
        rows.append({"seed": seed, "depth": depth, **table, "n": len(group)})
    return pd.DataFrame(rows)


def exact_by_depth(
    policy,
    world,
    ref_logps: Float[Tensor, "prompt response"],
    *,
    reward: Float[Tensor, "prompt response"] | None = None,
    beta: float,
):
    """``by_depth`` over ALL tokens of the tree, each as often as π_ref writes it.

    Args:
        policy: a policy, a stack of policies, or their log-probs over all responses.
        world: an enumerable world.
        ref_logps: log π_ref.
        reward: what the advantage is of, reward units; gold if None.
        beta: reward units per nat, of the implicit reward and of V* alike.

    Returns:
        DataFrame[seed, depth, correlation, slope, rmse], prompts in equal shares.
    """
    import pandas as pd

    tree, ref = world.tree, ref_logps.detach().double()
    goal = world.gold if reward is None else reward
    was = tree.conditionals(ref)
    best = soft_backup.backup(tree, was, goal.double(), beta).advantage
    weight = (tree.reach_logps(was)[..., None] + was).exp()
    rows = []
    for seed, logps in enumerate(response_logps(policy, world)):
        token = beta * (tree.conditionals(logps) - was)
        for depth in range(tree.depth):
            here = tree.level(depth)
            parts = (v[:, here].flatten() for v in (token, best, weight))
            rows.append({"seed": seed, "depth": depth, **_agreement(*parts)})
    return pd.DataFrame(rows)
