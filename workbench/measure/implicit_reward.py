"""Implicit rewards β·log(π/π_ref): of pairs, of tokens, and what theory predicts.

They are in reward units: β (reward units per nat) times a log-ratio (nats per
response). At DPO's optimum the implicit reward of y is r(x, y) − β log Z(x), so only
differences between responses to one prompt have a meaning of their own.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.tokens import Tokens
from workbench.feedback.kinds.pairs import Pairs
from workbench.measure.pair_values import logratios, pair_values


def of_pairs(
    policy,
    pairs: Pairs,
    ref: tuple[Tensor, Tensor],
    beta: float,
    *,
    shared: bool = False,
    chunk: int | None = None,
):
    """Mean implicit reward of the chosen and of the rejected responses.

    Args:
        policy: a policy, or a stack of them.
        pairs: for a stack, the pairs of each member lie side by side (member-major).
        ref: ``pairs.reference_logps(reference)``.
        beta: reward units per nat.
        shared: every member of a stack judges all the pairs, e.g. held-out ones.
        chunk: pairs per forward pass and member; as many as memory takes if None.

    Returns:
        DataFrame[seed, chosen, rejected, margin, accuracy], one row per seed: means
        weighted by ``pairs.weight``, in reward units; accuracy is how often the chosen
        response has the higher implicit reward, a tie counting one half (so it is one
        half before the first step).
    """
    import pandas as pd

    how = {"shared": shared, "chunk": chunk}
    rows, gaps = pair_values(policy, pairs, ref, logratios, **how)
    chosen, rejected = beta * gaps
    weight = pairs.weight.double()[rows]
    weight = weight / weight.sum(-1, keepdim=True)
    margin = chosen - rejected
    columns = {
        "chosen": chosen,
        "rejected": rejected,
        "margin": margin,
        "accuracy": 0.5 + 0.5 * margin.sign(),
    }
    means = {name: (weight * value).sum(-1).tolist() for name, value in columns.items()}
    return pd.DataFrame({"seed": range(len(rows)), **means})


class PairTracker:
    """``of_pairs`` with everything but the policy filled in, for a loop's ``measures``.

    Args: those of ``of_pairs``; ``ref`` is computed once, before training.
    """

    def __init__(
        self,
        pairs: Pairs,
        ref: tuple[Tensor, Tensor],
        beta: float,
        *,
        shared: bool = False,
    ):
        self.pairs, self.ref, self.beta, self.shared = pairs, ref, beta, shared

    def __call__(self, policy):
        """Rows of ``of_pairs`` for this policy."""
        return of_pairs(policy, self.pairs, self.ref, self.beta, shared=self.shared)


@torch.no_grad()
def token_rewards(
    policy, reference, tokens: Tokens, beta: float
) -> Float[Tensor, "batch time"]:
    """β·log(π/π_ref) of every response token in reward units, 0 elsewhere.

    Over a response they add up to its implicit reward.
    """
    gap = policy.token_logps(tokens).double() - reference.token_logps(tokens).double()
    return beta * torch.where(tokens.mask, gap, 0.0)


def of_tokens(policy, reference, tokens: Tokens, beta: float, vocab):
    """The implicit reward of each token, one row per token.

    Args:
        policy: a policy, or a stack of them with member-major rows.
        reference: one policy.
        tokens: the responses.
        beta: reward units per nat.
        vocab: ``vocab.tokens`` names the ids.

    Returns:
        DataFrame[seed, row, position, token, reward]; position counts response tokens
        from 0, row the responses of a seed.
    """
    import pandas as pd

    rewards = token_rewards(policy, reference, tokens, beta)
    rows, columns = tokens.mask.nonzero(as_tuple=True)
    position = (tokens.mask.cumsum(-1) - 1)[rows, columns]
    each = len(tokens) // policy.members
    return pd.DataFrame(
        {
            "seed": (rows // each).tolist(),
            "row": (rows % each).tolist(),
            "position": position.tolist(),
            "token": [vocab.tokens[i] for i in tokens.ids[rows, columns].tolist()],
            "reward": rewards[rows, columns].tolist(),
        }
    )
