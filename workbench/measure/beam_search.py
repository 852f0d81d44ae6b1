"""What beam search finds in an exact world: gold, length, likelihood by width."""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from workbench.measure.exact import response_logps
from workbench.models.beam import beam_search

By = Literal["likelihood", "implicit reward"]


def by_width(
    policy,
    world,
    ref_logps: Float[Tensor, "prompt response"],
    widths: Sequence[int] = range(1, 9),
    by: By = "likelihood",
):
    """The best response of each beam.

    Σ_t log π is what a decoder searches; Σ_t log(π/π_ref), the implicit reward divided
    by β, is what DPO learned (Rafailov et al. 2024, 2404.12358). They are different
    searches: the first still pays for what π_ref finds unlikely.

    Args:
        policy: a policy, a stack of policies, or their log-probs over all responses.
        world: an enumerable world.
        ref_logps: log π_ref.
        widths: widths of the beam.
        by: the score that the beam adds up.

    Returns:
        DataFrame[seed, width, gold, length, logp, logratio], means over prompts of the
        best response found: reward units, words, nats, nats.
    """
    import pandas as pd

    logps, ref = response_logps(policy, world), ref_logps.detach().double()
    steps = world.tree.conditionals(logps)
    if by == "implicit reward":
        steps = steps - world.tree.conditionals(ref)
    rows = []
    for width in widths:
        best = beam_search(world.tree, steps, width)[0][..., :1]
        tables = {
            "gold": world.gold.double().expand_as(logps),
            "length": world.n_words.double().expand_as(logps),
            "logp": logps,
            "logratio": logps - ref,
        }
        means = {k: v.gather(-1, best).mean((1, 2)).tolist() for k, v in tables.items()}
        for seed in range(len(logps)):
            row = {"seed": seed, "width": width}
            rows.append(row | {name: column[seed] for name, column in means.items()})
    return pd.DataFrame(rows)
