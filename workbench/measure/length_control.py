"""Longer or better? The length of what a policy writes, and its gold at equal length.

Controlled gold takes the lengths from π_ref and the words from π:
Σ_n π_ref(|y| = n) E_π[r | |y| = n]. A change of length alone does not move it.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.measure.exact import response_logps
from workbench.worlds import solutions


def tokens(world) -> Int[Tensor, " response"]:
    """|y| of each response: its words and the end; the longest end by themselves."""
    return (world.n_words + 1).clamp(max=world.max_words)


def facts(policy, world, ref_logps: Float[Tensor, "prompt response"]):
    """Length and quality of a policy over all responses, prompts in equal shares.

    Args:
        policy: a policy, a stack of policies, or their log-probs over all responses.
        world: an enumerable world.
        ref_logps: log π_ref.

    Returns:
        DataFrame[seed, tokens, gold, controlled, fluency, kl], one row per seed:
        E_π|y|, E_π[r], controlled gold, E_π[log π_ref(y)/|y|] (nats per token), and
        KL(π‖π_ref) (nats).
    """
    import pandas as pd

    logps, ref = response_logps(policy, world), ref_logps.detach().double()
    size, gold = tokens(world), world.gold.double()
    each = torch.nn.functional.one_hot(size).double()[:, 1:]
    given = (logps.exp() * gold) @ each / (logps.exp() @ each)
    columns = {
        "tokens": solutions.expectation(logps, size.double()),
        "gold": solutions.expectation(logps, gold),
        "controlled": (given * (ref.exp() @ each)).sum(-1),
        "fluency": solutions.expectation(logps, ref / size),
        "kl": solutions.kl(logps, ref),
    }
    means = {name: value.mean(-1).tolist() for name, value in columns.items()}
    return pd.DataFrame({"seed": range(len(logps)), **means})


class Tracker:
    """``facts`` with everything but the policy filled in, for ``measures``.

    Args: those of ``facts``.
    """

    def __init__(self, world, ref_logps: Float[Tensor, "prompt response"]):
        self.world, self.ref = world, ref_logps.detach()

    def __call__(self, policy):
        """Rows of ``facts`` for this policy."""
        return facts(policy, self.world, self.ref)
