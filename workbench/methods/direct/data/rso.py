"""Statistical rejection sampling optimisation: pairs drawn from the optimal policy.

Objective:
    From candidates y ~ π_ref with scores r, pass by pass: accept each that remains with
    probability exp((r − max r)/β), the maximum over those that remain, until ``keep``
    are accepted. Pair them at random, call the higher score chosen, and minimise
    L = −log σ(γD), D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r), sums over tokens.

Compared with DPO:
    the loss is that of DPO at γ; only where the pairs come from changes. β is the
    temperature of the sampling, γ that of the loss, and they need not agree.

Valid only if:
    candidates are drawn from the reference, many more than are kept: one pass over
    infinitely many is a draw from π_ref exp(r/β)/Z, later passes and few candidates
    only come near. Candidates are counted by place: merged by their text, as in the
    published code, frequent responses lose their weight.

Minimiser:
    that of DPO at γ. With Bradley–Terry labels of r it is π_ref exp(r/γ)/Z whatever
    distribution the pairs have: rejection sampling changes what finitely many pairs
    tell. With the labels of a score, as here, the infimum lies at D = ∞.

Known mistakes:
    (1) the β of the sampling in the loss.
    (2) chosen and rejected swapped.
    (3) the reference left out of the loss.
    (4) a mean over tokens.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.errors import BadCall
from workbench.core.seeds import generator
from workbench.feedback.kinds.lists import Lists, join
from workbench.feedback.kinds.pairs import PairLogps, Pairs
from workbench.feedback.labels import Labels
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models.prepared import Prepared

card = Card(
    key="rso",
    title="Statistical rejection sampling optimisation",
    parents=("dpo",),
    needs=("responses", "reward", "reference"),
    paper="Liu et al. 2023 (2309.06657)",
    check="A pass over draws of π_ref leaves π_ref exp(r/β)/Z, at the exact rate.",
    claim="With as many labelled pairs, pairs kept from π_ref give more gold reward.",
    notebook="28d",
    loop=offline,
    scale="gamma",
    hooks=("prepare",),
)


@dataclass(frozen=True)
class Config:
    """Settings of RSO.

    Attributes:
        beta: temperature of the rejection, reward units per nat.
        gamma: what multiplies D in the loss.
        keep: responses kept of each list, two per pair.
    """

    beta: float = 0.5  # paper
    gamma: float = 0.05  # paper
    keep: int = 8  # paper, of 64 candidates


def acceptance(scores: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """exp((r − max r)/β): the chance of each candidate to be accepted in a pass."""
    return ((scores.double() - scores.max()) / cfg.beta).exp()


def select(
    scores: Float[Tensor, " candidate"], cfg: Config, generator: torch.Generator
) -> Int[Tensor, " kept"]:
    """Places of the ``keep`` candidates that are accepted first.

    Accepted ones leave after the pass. Within a pass the order is random, so that the
    last places go to no candidate for where it stands.

    Raises:
        BadCall: there are fewer candidates than are to be kept.
    """
    if cfg.keep > len(scores):
        raise BadCall(f"{len(scores)} candidates are too few to keep {cfg.keep}")
    left = torch.randperm(len(scores), generator=generator)
    kept = left[:0]
    while len(kept) < cfg.keep:
        uniform = torch.rand(len(left), generator=generator, dtype=torch.float64)
        now = uniform < acceptance(scores[left], cfg)
        kept, left = torch.cat([kept, left[now]]), left[~now]
    return kept[: cfg.keep]


def pairs(candidates: Lists, cfg: Config, generator: torch.Generator) -> Pairs:
    """``keep // 2`` pairs per list, of responses kept and joined at random.

    The higher score is chosen. Equal scores and twice the same text make no pair.
    """
    rows = []
    for place, scores in enumerate(candidates.scores):
        kept = select(scores, cfg, generator) + place * candidates.group
        mixed = kept[torch.randperm(len(kept), generator=generator)]
        rows.append(mixed[: cfg.keep // 2 * 2])
    first, second = torch.cat(rows).unflatten(0, (-1, 2)).unbind(-1)
    scores, tokens = candidates.scores.flatten(), candidates.tokens
    wins = scores[first] > scores[second]
    chosen, rejected = first.where(wins, second), second.where(wins, first)
    differ = (tokens.ids[first] != tokens.ids[second]).any(-1)
    weight = candidates.weight[first // candidates.group]
    drawn = Pairs(tokens[chosen], tokens[rejected], weight)
    return drawn[differ & (scores[first] != scores[second])]


def prepare(labels: Labels, world, reference, cfg: Config, seed: int) -> Prepared:
    """At most 64 labelled responses to a prompt are candidates for its pairs."""
    fewest = int(labels.comparisons.chosen.prompt.bincount().min())
    drawn = pairs(join(labels, min(64, 2 * fewest)), cfg, generator(seed, "rso"))
    policy = reference.copies(1)
    return Prepared(drawn, policy, reference, lambda it: it.response_logps(world))


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(γD) of each pair, in nats."""
    return dpo.loss(batch, dpo.Config(beta=cfg.gamma))


mistakes = {
    "1 beta of the sampling": edits.with_config(loss, gamma=lambda cfg: cfg.beta),
    "2 swapped pair": edits.swapped(loss),
    "3 no reference": edits.no_reference(loss),
    "4 mean over tokens": edits.mean_over_tokens(loss),
}
