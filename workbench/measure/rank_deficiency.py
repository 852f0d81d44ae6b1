"""What pairs leave free: components of the pair graph, mass on unseen responses.

A loss of the margins alone sees only differences of log-ratios along pairs. Multiply π
on one connected component of the pair graph by a constant, the rest by another so that
the total is 1, and no margin moves: one free dimension for each component but one, a
response in no pair being a component of its own (Rafailov et al. 2024, 2406.02900).
Which of these policies training ends at is decided by where it starts, not by the loss.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.feedback.kinds.pairs import Pairs
from workbench.measure.exact import response_logps


def components(pairs: Pairs, world) -> Int[Tensor, "prompt response"]:
    """The connected component of every response in the pair graph of its prompt.

    Returns:
        a component's number is that of its first response.
    """
    label = torch.arange(world.n_responses).repeat(world.n_prompts, 1)
    prompt = pairs.chosen.prompt
    first, second = pairs.chosen.response, pairs.rejected.response
    flat = label.flatten()
    one, other = (prompt * world.n_responses + y for y in (first, second))
    while True:
        lower = torch.minimum(flat[one], flat[other])
        found = flat.scatter_reduce(0, one, lower, "amin")
        found = found.scatter_reduce(0, other, lower, "amin")
        # jump to the label of the label: paths halve
        found = found.view_as(label).gather(1, found.view_as(label)).flatten()
        if torch.equal(found, flat):
            return flat.view_as(label)
        flat = found


def free_dimensions(component: Int[Tensor, "prompt response"]) -> int:
    """Directions in which the policy is free: components − 1, added over prompts."""
    return sum(len(row.unique()) - 1 for row in component)


def seen(pairs: Pairs, world) -> Bool[Tensor, "prompt response"]:
    """The responses that occur in some pair."""
    found = torch.zeros(world.n_prompts, world.n_responses, dtype=torch.bool)
    for side in (pairs.chosen, pairs.rejected):
        found[side.prompt, side.response] = True
    return found


def unseen_mass(policy, world, pairs: Pairs, *, shared: bool = False):
    """How much probability a policy gives to responses in no pair.

    Args:
        policy: a policy, a stack of policies, or their log-probs over all responses.
        world: an enumerable world.
        pairs: for a stack, the pairs of each member lie side by side (member-major).
        shared: the pairs are the same for all members.

    Returns:
        DataFrame[seed, unseen]: 1 − π(seen), a mean over prompts.
    """
    import pandas as pd

    return pd.DataFrame(
        _unseen(response_logps(policy, world), _seen(pairs, world, policy, shared))
    )


def _seen(pairs: Pairs, world, policy, shared: bool) -> Tensor:
    """Seen responses, [member, prompt, response]."""
    members = len(policy) if isinstance(policy, Tensor) else policy.members
    if shared or (isinstance(policy, Tensor) and policy.ndim == 2):
        return seen(pairs, world)[None]
    rows = torch.arange(len(pairs)).unflatten(0, (members, -1))
    return torch.stack([seen(pairs[r], world) for r in rows])


def _unseen(logps: Tensor, seen: Tensor) -> dict[str, list]:
    mass = torch.where(seen, 0.0, logps.exp()).sum(-1).mean(-1)
    return {"seed": list(range(len(mass))), "unseen": mass.tolist()}


class UnseenTracker:
    """``unseen_mass`` with everything but the policy filled in, for ``measures``.

    Args: those of ``unseen_mass``.
    """

    def __init__(self, world, pairs: Pairs, *, shared: bool = False):
        self.world, self.pairs, self.shared = world, pairs, shared
        self.seen = None

    def __call__(self, policy):
        """DataFrame[seed, unseen]."""
        import pandas as pd

        if self.seen is None:
            self.seen = _seen(self.pairs, self.world, policy, self.shared)
        return pd.DataFrame(_unseen(response_logps(policy, self.world), self.seen))


def rescaled(
    logps: Float[Tensor, "*lead response"],
    component: Bool[Tensor, "*lead response"],
    factor: float,
) -> Float[Tensor, "*lead response"]:
    """The policy with a component's probabilities scaled, and the rest to match.

    Args:
        logps: log π of every response.
        component: which responses; where it is empty, π stays as it is.
        factor: positive.

    Raises:
        ValueError: the component would have a mass of 1 or more, or had it already.
    """
    mass = torch.where(component, logps.exp(), 0.0).sum(-1, keepdim=True)
    empty = mass == 0
    if bool(((factor * mass >= 1) | (mass >= 1)).any()):
        raise ValueError(
            f"{factor} times a mass of {mass.max().item():.3g} is too much"
        )
    rest = torch.log1p(-factor * mass) - torch.log1p(-mass)
    inside = torch.where(empty, 0.0, torch.tensor(factor, dtype=logps.dtype).log())
    return logps + torch.where(component, inside, torch.where(empty, 0.0, rest))
