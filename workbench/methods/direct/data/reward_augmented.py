"""Reward-augmented data: each pair is told twice, once for the goal of each response.

Objective:
    a pair y_w, y_l with scores r_w > r_l becomes two: y_w ≻ y_l at the prompt with goal
    r_w, and y_l ≻ y_w at the prompt with goal r_l. On both L = −log σ(β·D), D = log
    π(y_c|x, g)/π_ref(y_c|x, g) − log π(y_r|x, g)/π_ref(y_r|x, g), sums over tokens.

Compared with DPO:
    the prompt states a goal, for the reference too, and the rejected response is right
    for its own. The loss is that of DPO. One writes with the highest goal.

Valid only if:
    the prompt can hold a score; the second pair is flipped; ties and pairs that the
    scores contradict are left out, since a tie gives both orders at the same goal. A
    score is the level of the world nearest to it. Compare with plain DPO at twice its
    steps: the data are doubled. Where each goal is a token of its own, a goal
    in no pair is never learned.

Minimiser:
    With Bradley–Terry labels of R(x, y, g) = −(g − r)², with which every pair made here
    agrees: π(y|x, g) ∝ π_ref exp(−(g − r)²/β), each goal for itself. With the pairs as
    they are the chosen response always scores g: the infimum lies at D = ∞, all mass on
    the responses of score g.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the reference left out.
    (3) a mean over tokens.
    (4) a gradient through the reference: the values agree, the training does not.
    (5) β forgotten.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps, Pairs
from workbench.feedback.labels import Labels
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models.goal_conditioned_policy import conditioned
from workbench.models.prepared import Prepared
from workbench.worlds.goal_conditioned_world import Goals

card = Card(
    key="reward_augmented",
    title="DPO on reward-augmented data",
    parents=("dpo",),
    needs=("pairs", "reward", "reference"),
    paper="Zhang et al. 2024 (2410.08067)",
    check="Every pair made agrees with R = −(g − r)²; each goal has its own minimiser.",
    claim="Good rejected responses lose probability under DPO, and not under this.",
    notebook="28d",
    loop=offline,
    scale="beta",
    hooks=("prepare",),
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of DPO on reward-augmented data.

    Attributes:
        beta: reward units per nat.
    """

    beta: float = 0.01  # paper's recipes


def augment(
    pairs: Pairs,
    chosen_scores: Float[Tensor, " batch"],
    rejected_scores: Float[Tensor, " batch"],
    goals: Goals,
) -> Pairs:
    """The doubled pairs over a world with goals: first those of y_w's, then y_l's goal.

    Args:
        pairs: pairs of the base world.
        chosen_scores: of the chosen responses, reward units.
        rejected_scores: of the rejected ones.
        goals: the world with goals; its levels are the scores that a prompt can state.
    """
    high, low = goals.nearest(chosen_scores), goals.nearest(rejected_scores)
    told = high > low
    pairs, high, low = pairs[told], high[told], low[told]
    better, worse = pairs.chosen, pairs.rejected
    first = Pairs(goals.asked(better, high), goals.asked(worse, high), pairs.weight)
    second = Pairs(goals.asked(worse, low), goals.asked(better, low), pairs.weight)
    return Pairs.cat([first, second])


def prepare(labels: Labels, world, reference, cfg: Config, seed: int) -> Prepared:
    """Goals at five quantiles of the scores seen; the policy is run at the highest."""
    chosen, rejected = labels.scores
    shares = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    goals = Goals(world, torch.cat([chosen, rejected]).quantile(shares).tolist())
    asked = conditioned(reference, world, goals)
    data = augment(labels.comparisons, chosen, rejected, goals)
    policy, top = asked.copies(1), goals.at(-1)
    return Prepared(data, policy, asked, lambda it: it.response_logps(goals)[top])


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·D) of each pair, in nats."""
    return dpo.loss(batch, cfg)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 no reference": edits.no_reference(loss),
    "3 mean over tokens": edits.mean_over_tokens(loss),
    "4 gradient through the reference": edits.through_reference(loss),
    "5 no beta": edits.with_config(loss, beta=1.0),
}
