"""How far a policy has moved from its reference: sampled estimates of KL(π‖π_ref).

The estimators read responses drawn from π at temperature 1. k1 and k3 have the KL as
their mean, k2 has not; ``rao-blackwell`` adds the whole-vocabulary KL at every sampled
prefix: the same mean as k1 and less noise. Where a world can be enumerated, the exact
value stands beside them.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import kl
from workbench.core.errors import BadCall
from workbench.core.memory import rows_at_once
from workbench.core.statistics import interval
from workbench.core.tokens import Tokens
from workbench.measure.exact import response_logps
from workbench.models.policy import Policy
from workbench.worlds import solutions

_ESTIMATORS = {"k1": kl.k1, "k2": kl.k2, "k3": kl.k3}


def prefix_kl(
    policy, reference, tokens: Tokens, world=None
) -> Float[Tensor, "batch"] | None:
    """Σ_t KL(π(·|s_t)‖π_ref(·|s_t)) along each response; None if it cannot be had.

    The value of ``rao-blackwell`` alone: half the forward passes of all estimators.

    Args:
        policy, reference: transformers, or whatever a world can enumerate.
        tokens: responses drawn from the policy.
        world: an enumerable world, where one of the two is no transformer.
    """
    if isinstance(policy, Policy) and isinstance(reference, Policy):
        ids = tokens.ids.to(policy.ban.device)  # the model may live on a GPU
        logps = [p.logits(ids).double().log_softmax(-1) for p in (policy, reference)]
        at_prefix = kl.categorical_kl(*logps)[:, :-1].cpu()
        return torch.where(tokens.mask[:, 1:], at_prefix, 0.0).sum(-1)
    if world is None:
        return None
    tables = []
    for each in (policy, reference):
        table = world.tree.conditionals(response_logps(each, world))
        tables.append(table.expand(policy.members, -1, -1, -1))
    at_node = kl.categorical_kl(*tables)
    nodes, actions = world.tree.paths(tokens.response)
    member = torch.arange(len(tokens)) // (len(tokens) // policy.members)
    picked = at_node[member[:, None], tokens.prompt[:, None], nodes.clamp(min=0)]
    return torch.where(actions >= 0, picked, 0.0).sum(-1)


@torch.no_grad()
def sequence_values(
    policy, reference, tokens: Tokens, world=None
) -> dict[str, Float[Tensor, "member sample"]]:
    """Each estimator's value of each response, in nats per sequence."""
    gap = policy.token_logps(tokens).double() - reference.token_logps(tokens).double()
    logratio = torch.where(tokens.mask, gap, 0.0).sum(-1)
    values = {name: estimator(logratio) for name, estimator in _ESTIMATORS.items()}
    prefix = prefix_kl(policy, reference, tokens, world)
    if prefix is not None:
        values["rao-blackwell"] = prefix
    return {k: v.cpu().unflatten(0, (policy.members, -1)) for k, v in values.items()}


@torch.no_grad()
def prefix_values(
    policy, reference, tokens: Tokens
) -> dict[str, Float[Tensor, "member sample"]]:
    """The same of two transformers, and ``rao-blackwell`` alone."""
    prefix = prefix_kl(policy, reference, tokens)
    if prefix is None:
        raise BadCall("the KL at every prefix is that of two transformers")
    return {"rao-blackwell": prefix.unflatten(0, (policy.members, -1))}


def in_parts(
    policy, reference, tokens: Tokens, read: Callable = sequence_values
) -> dict[str, Float[Tensor, "member sample"]]:
    """Values of responses, so many at a time that their logits fit.

    Args:
        policy: a policy, or a stack of them.
        reference: one policy.
        tokens: responses of the policy, member-major for a stack.
        read: ``sequence_values``, or ``prefix_values``.
    """
    members = policy.members
    each = torch.arange(len(tokens)).unflatten(0, (members, -1))
    size = max(1, rows_at_once(policy, tokens.ids.shape[1]) // members)
    parts = [
        read(policy, reference, tokens[rows.flatten()])
        for rows in each.split(size, dim=1)
    ]
    return {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}


def estimates(policy, reference, tokens: Tokens, *, world=None):
    """KL(π‖π_ref) estimated from samples, with 95 % intervals.

    Args:
        policy: a policy, or a stack of them.
        reference: one policy.
        tokens: responses drawn FROM THE POLICY at temperature 1, prompts in equal
            shares; member-major for a stack. Other responses estimate neither
            KL(π‖π_ref) nor its reverse.
        world: an enumerable world; asks for the exact value.

    Returns:
        DataFrame[seed, estimator, mean, stderr, low, high, n(, exact)] in nats per
        sequence, means over prompts; one row per estimator (k1, k2, k3, rao-blackwell).
    """
    import pandas as pd

    values = sequence_values(policy, reference, tokens, world)
    if world is not None:
        ref = response_logps(reference, world)[0]
        truth = solutions.kl(response_logps(policy, world), ref).mean(-1).tolist()
    rows = []
    for seed in range(policy.members):
        for name, value in values.items():
            mean, low, high = interval(value[seed])
            n = value.shape[1]
            row = {"seed": seed, "estimator": name, "mean": mean}
            row["stderr"] = value[seed].std().item() / n**0.5
            row |= {"low": low, "high": high, "n": n}
            rows.append(row | ({} if world is None else {"exact": truth[seed]}))
    return pd.DataFrame(rows)


class DriftTracker:
    """``estimates`` on fresh samples, for a loop's ``measures``.

    Args:
        reference: one policy.
        draw: ``policy -> Tokens``, samples of the policy it is given.
        world: an enumerable world; asks for the exact value.
    """

    def __init__(self, reference, draw, world=None):
        self.reference, self.draw, self.world = reference, draw, world

    def __call__(self, policy):
        """Rows of ``estimates`` for this policy."""
        tokens = self.draw(policy)
        return estimates(policy, self.reference, tokens, world=self.world)


def drift_curve(policies: dict, reference, draw, *, world=None):
    """``estimates`` along training.

    Args:
        policies: step to policy (checkpoints of one run).
        reference, draw, world: as in ``DriftTracker``.

    Returns:
        DataFrame[step, seed, estimator, mean, stderr, low, high, n(, exact)].
    """
    import pandas as pd

    track = DriftTracker(reference, draw, world)
    parts = []
    for step, policy in policies.items():
        frame = track(policy)
        frame.insert(0, "step", step)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)
