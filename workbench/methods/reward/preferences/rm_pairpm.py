"""Pairwise preference model: both responses are read together, and one is named.

Objective:
    L = ½[−log σ(o(y_c, y_r)) − log σ(−o(y_r, y_c))], o(a, b) the log-odds that the one
    that stands first is better: the cross-entropy of a label token, in both orders.
    Read out as P(a ≻ b) = ½[σ(o(a, b)) + σ(−o(b, a))].

Compared with BT:
    o is a free function of two responses instead of a difference of two scores, so
    that it can explain cycles, and costs a pass for each pair.

Valid only if:
    each pair is read in both orders, in training and after it: a model likes one of the
    places better, and o(a, b) ≠ −o(b, a).

Minimiser:
    o(a, b) = logit p(a ≻ b) = −o(b, a), for any p. Its loss is the entropy of the
    labels, where BT's on a symmetric cycle is log 2.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) one order alone: a place can be learned for an answer.
    (3) the sign of the second order forgotten.
    (4) a sum over the orders: each pair counts twice.
    (5) the difference of both log-odds taken as one: o is half of what it should be.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.ordered_pairs import OrderedOdds
from workbench.loops import reward
from workbench.models.pair_reader import PairReader

card = Card(
    key="rm_pairpm",
    title="Pairwise preference model",
    parents=("bt",),
    needs=("pairs",),
    paper="Dong et al. 2024 (2405.07863)",
    check="Read out in both orders, P(a ≻ b) + P(b ≻ a) = 1 exactly.",
    claim="It explains cycles as well, and contradicts itself in one order alone.",
    notebook="13",
    loop=reward,
    hooks=("build",),
)


@dataclass(frozen=True)
class Config:
    """A pairwise preference model has no settings."""


def build(vocab, cfg: Config, seed: int) -> PairReader:
    """A fresh model that reads two responses in a row."""
    return PairReader.tiny(vocab, seed=seed)


def loss(batch: OrderedOdds, cfg: Config) -> Float[Tensor, " batch"]:
    """Cross-entropy of the better place, mean over both orders, in nats."""
    first, second = batch.chosen_first, -batch.rejected_first
    return -(logsigmoid(first) + logsigmoid(second)) / 2


def _one_order(batch: OrderedOdds, cfg: Config) -> Tensor:
    return -logsigmoid(batch.chosen_first)


def _one_odds(batch: OrderedOdds, cfg: Config) -> Tensor:
    return -logsigmoid(batch.chosen_first - batch.rejected_first)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 one order alone": _one_order,
    "3 sign of the second order forgotten": edits.with_batch(
        loss, rejected_first=lambda batch: -batch.rejected_first
    ),
    "4 sum over the orders": lambda batch, cfg: 2 * loss(batch, cfg),
    "5 difference of the log-odds": _one_odds,
}
