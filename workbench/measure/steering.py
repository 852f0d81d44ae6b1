"""What a frozen policy writes when values steer it: gold and KL, exactly."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from workbench.measure.exact import evaluate
from workbench.methods.decoding import vas
from workbench.worlds.tree import PrefixTree


def steered(
    tree: PrefixTree,
    ref: Float[Tensor, "*#lead node action"],
    Q: Float[Tensor, "*lead node action"],
    strength: float,
) -> Float[Tensor, "*lead response"]:
    """Log-probs of all responses when each word's logit gets ``strength`` times Q.

    Args:
        tree: the responses.
        ref: log π_ref(a|s), nats; the last action is the end.
        Q: value of each action at each prefix, reward units.
        strength: b, nats per reward unit.
    """
    cfg = vas.Config(strength=strength, top_k=Q.shape[-1])
    logits = vas.next_token_logits(ref.expand_as(Q), Q, cfg)
    return tree.response_logps(logits.log_softmax(-1))


def sweep(
    world,
    ref_logps: Float[Tensor, "prompt response"],
    Q: Float[Tensor, "*member prompt node action"],
    strengths: Sequence[float],
    beta: float | None = None,
):
    """Gold and KL of the steered policy at each strength, over all responses.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref.
        Q: value of each action at each prefix, reward units, perhaps one per seed.
        strengths: b, nats per reward unit.
        beta: reward units per nat; asks for the objective J = gold − β KL and the
            distance to π*_β.

    Returns:
        DataFrame[seed, strength, kl, gold, …]: the columns of ``exact.evaluate``, and
        J.
    """
    import pandas as pd

    ref = ref_logps.detach().double()
    conditionals, frames = world.tree.conditionals(ref), []
    for strength in strengths:
        logps = steered(world.tree, conditionals, Q.double(), float(strength))
        frame = evaluate(logps, world, ref, gold=world.gold, beta=beta)
        if beta is not None:
            frame["J"] = frame["gold"] - beta * frame["kl"]
        frames.append(frame.assign(strength=float(strength)))
    return pd.concat(frames, ignore_index=True)


def gold_at(curve, kl: Float[Tensor, " grid"] | Sequence[float] | float) -> np.ndarray:
    """Gold of each seed at given KLs, straight lines between the points of a curve.

    Args:
        curve: DataFrame[kl, gold]; column ``seed`` tells several seeds apart.
        kl: nats. Beyond the ends of a seed's curve its last value is repeated.

    Returns:
        one row per seed.
    """
    groups = curve.groupby("seed") if "seed" in curve else [(0, curve)]
    rows = []
    for _, one in groups:
        one = one.sort_values("kl")
        rows.append(np.interp(kl, one["kl"], one["gold"]))
    return np.array(rows)
