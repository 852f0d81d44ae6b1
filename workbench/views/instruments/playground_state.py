"""DPO of a table: the plain functions behind the playground.

The policy has one logit per response, starts at the reference and is trained on all
pairs at every step. Every setting sees the same draws: the first n of one list of
pairs, and one uniform number per pair that decides its label.
"""

from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.methods.direct.links import dpo
from workbench.worlds import solutions

MOST_PAIRS = 2000
KEPT = (0, 1, 2, 3, 5, 7, 10, 14, 20, 30, 50, 70, 100, 140, 200)  # steps shown
# A step of 40/β² is stable: β² times the largest curvature of a list of fifty pairs or
# more is below 1/40. In units of the implicit reward every β then moves equally fast.
STEP = 40.0
Table = Float[Tensor, "prompt response"]


@dataclass(frozen=True)
class Playground:
    """A run and where it could have ended.

    Attributes:
        curves: DataFrame[step, chosen, rejected, margin, kl, gold]: mean implicit
            rewards of the pairs (reward units), KL(π‖π_ref) (nats per sequence) and
            the mean gold reward, over prompts.
        logps: log π at the end, nats.
        optimum: log π* of this β and gold, nats.
        distance: KL(π‖π*) at the end, nats per sequence.
        words: mean number of words that the policy writes at the end.
    """

    curves: pd.DataFrame
    logps: Table
    optimum: Table
    distance: float
    words: float


def labelled(world, ref_logps: Table, flip: float, length_bias: float) -> Pairs:
    """The list of pairs, labelled by an annotator with these faults.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref, which both responses of a pair are drawn from, nats.
        flip: probability that a label is recorded the wrong way round.
        length_bias: reward units per word that longer reviews are overrated by.
    """
    who = Annotator(flip=flip, length_bias=length_bias)
    # the draws of the generator do not depend on the annotator: only the labels do
    draws = generator(0, "playground")
    return sample_pairs(world, ref_logps, MOST_PAIRS, who, draws)


def pair_gradient(
    logps: Table, ref_logps: Table, pairs: Pairs, beta: float, mean: bool
) -> Table:
    """Slope of the mean DPO loss in the logits of a table.

    Args:
        logps: log π of every response, nats.
        ref_logps: log π_ref of every response, nats.
        pairs: chosen and rejected responses.
        beta: reward units per nat.
        mean: whether each log-ratio is divided by its number of tokens, which is
            mistake (2) of ``methods.direct.links.dpo``.

    Returns:
        loss units per nat.
    """
    chosen, rejected = _place(pairs.chosen, logps), _place(pairs.rejected, logps)
    share = torch.full((2, len(pairs)), 1.0 / len(pairs), dtype=torch.float64)
    ratios = (logps - ref_logps).flatten()
    if mean:
        tokens = torch.stack([pairs.chosen.lengths, pairs.rejected.lengths])
        margin = ratios[chosen] / tokens[0] - ratios[rejected] / tokens[1]
        share = share / tokens
    else:
        margin = ratios[chosen] - ratios[rejected]
    push = share * dpo.weight(margin, dpo.Config(beta=beta))
    slope = torch.zeros_like(ratios)
    slope.index_add_(0, chosen, -push[0]).index_add_(0, rejected, push[1])
    slope = slope.view_as(logps)
    # log-probs are logits minus one number per prompt; in a sum it cancels
    return slope - logps.exp() * slope.sum(-1, keepdim=True) if mean else slope


def table_path(
    ref_logps: Table,
    pairs: Pairs,
    beta: float | int,
    mean: bool,
    rate: float = STEP,
) -> Float[Tensor, "kept prompt response"]:
    """log π at the steps ``KEPT`` on the way down the slope of the mean loss.

    Args:
        ref_logps, pairs, beta, mean: those of ``pair_gradient``.
        rate: size of a step times β².
    """
    ref = ref_logps.double()
    logits, kept = ref.clone(), []
    for step in range(KEPT[-1] + 1):
        logps = logits.log_softmax(-1) if mean else logits
        if step in KEPT:
            kept.append(logits)
        slope = pair_gradient(logps, ref, pairs, beta, mean)
        logits = logits - (rate / beta**2) * slope
    return torch.stack(kept).log_softmax(-1)


def playground_state(
    world, ref_logps: Table, pairs: Pairs, beta: float, steps: int, mean: bool
) -> Playground:
    """DPO of a table on these pairs, measured on all responses.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        pairs: what it is trained on.
        beta: reward units per nat.
        steps: one of ``KEPT``.
        mean: whether log-ratios are divided by their number of tokens.
    """
    path = table_path(ref_logps, pairs, beta, mean)[: KEPT.index(steps) + 1]
    return measured(world, ref_logps, pairs, beta, path)


def measured(world, ref_logps: Table, pairs: Pairs, beta: float, path) -> Playground:
    """What is shown of a path of policies.

    Args:
        world, ref_logps, pairs, beta: as for ``playground_state``.
        path: log π of every response at the steps that are kept.
    """
    ref, last = ref_logps.double(), path[-1]
    rewards = beta * (path - ref).flatten(1)
    curves = pd.DataFrame({"step": KEPT[: len(path)]})
    for side, tokens in (("chosen", pairs.chosen), ("rejected", pairs.rejected)):
        curves[side] = rewards[:, _place(tokens, ref)].mean(1).tolist()
    curves["margin"] = curves["chosen"] - curves["rejected"]
    curves["kl"] = solutions.kl(path, ref.expand_as(path)).mean(-1).tolist()
    curves["gold"] = solutions.expectation(path, world.gold).mean(-1).tolist()
    best = solutions.optimal_policy(ref, world.gold, beta)
    words = solutions.expectation(last, world.n_words.double()).mean()
    distance = solutions.kl(last, best).mean().item()
    return Playground(curves, last, best, distance, words.item())


def _place(tokens, logps: Table) -> Tensor:
    """Where responses stand in a flattened table."""
    return tokens.prompt * logps.shape[-1] + tokens.response
