"""A listwise loss followed to its end on a few responses, without sampling.

The pairs that anybody may draw are enumerated, each with its chance, and a table of
logits descends the expected loss.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.feedback.kinds.lists import ListLogps

Few = Float[Tensor, " response"]


def every_pair(logps: Few, ref: Few, rewards: Few) -> ListLogps:
    """All ordered pairs of responses as lists of two, the first response slowest.

    Args:
        logps: log π of the responses to the only prompt.
        ref: log π_ref, which also stands as the proposal.
        rewards: of the responses, reward units.
    """
    places = torch.arange(len(logps))
    both = torch.cartesian_prod(places, places)
    mask = torch.ones(len(both), 2, 1, dtype=torch.bool)
    tokens = (values[both][..., None] for values in (logps, ref))
    return ListLogps(*tokens, mask, rewards[both], ref[both])


def descend(
    method: Any,
    cfg: Any,
    ref: Few,
    rewards: Few,
    chance: Float[Tensor, "response response"],
    *,
    steps: int,
    rate: float = 0.3,
) -> Float[Tensor, "step response"]:
    """Gradient descent on the expected loss, from the reference.

    Args:
        method: has ``loss(batch, cfg)`` on lists.
        cfg: the method's Config.
        ref, rewards: as in :func:`every_pair`.
        chance: how often each ordered pair comes; it sums to 1.
        steps: of plain gradient descent on the logits.
        rate: length of a step.

    Returns:
        log π after each step, the start first.
    """
    logits = ref.detach().clone().requires_grad_()
    path = [logits.detach().log_softmax(-1)]
    for _ in range(steps):
        batch = every_pair(logits.log_softmax(-1), ref, rewards)
        cost = (method.loss(batch, cfg) * chance.flatten()).sum()
        (slope,) = torch.autograd.grad(cost, logits)
        logits = (logits - rate * slope).detach().requires_grad_()
        path.append(logits.detach().log_softmax(-1))
    return torch.stack(path)


def as_curves(
    paths: Mapping[str, Float[Tensor, "step response"]],
    names: Sequence[str],
    points: int = 80,
):
    """Paths as ``views.simplex`` reads them, thinned evenly in log steps.

    Args:
        paths: name to log π after each step.
        names: of the responses.
        points: at most so many of each path are kept, the first and last among them.

    Returns:
        DataFrame[curve, step, *names], probabilities.
    """
    import pandas as pd

    frames = []
    for name, path in paths.items():
        kept = np.geomspace(1, len(path), points).round().astype(int) - 1
        kept = np.unique(kept)
        frame = pd.DataFrame(path[kept].exp().tolist(), columns=list(names))
        frames.append(frame.assign(curve=name, step=kept))
    return pd.concat(frames, ignore_index=True)
