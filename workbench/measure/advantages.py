"""Implicit rewards of tokens beside the exact advantage A* = Q* − V*.

At π*_β they are the same number: β log π*(a|s)/π_ref(a|s) = Q*(s, a) − V*(s). It says
where the value changes, not where reward is paid (Rafailov et al. 2024, 2404.12358).
"""

from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.batches import Tokens
from workbench.measure.exact import law
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
        DataFrame[seed, row, position, token, reward, advantage, value], a row a token:
        reward = β log π/π_ref, advantage = Q* − V* (V* holds π_ref, Q* does not), value
        = V* before the token is written; all in reward units. Over a response the
        advantages add up to r(x, y) − β log Z(x).
    """
    tokens = Tokens.cat([world.tokens(prompt, response)] * policy.members)
    frame = of_tokens(policy, reference, tokens, beta, world.vocab)
    goal = world.gold if reward is None else reward
    conditionals = world.tree.conditionals(law(reference, world)[0])
    exact = soft_backup.backup(world.tree, conditionals, goal.double(), beta)
    nodes, actions = world.tree.paths(tokens.response)
    rows, time = (actions >= 0).nonzero(as_tuple=True)
    where = (tokens.prompt[rows], nodes[rows, time])
    frame["advantage"] = exact.advantage[*where, actions[rows, time]].tolist()
    frame["value"] = exact.V[where].tolist()
    return frame
