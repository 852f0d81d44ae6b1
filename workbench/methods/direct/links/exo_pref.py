"""Efficient exact optimisation on pairs: reverse KL to a smoothed label.

Objective:
    L = KL(q‖p),  q = (σ(M), σ(−M)),  p = (1 − ε, ε),  M = β·D,
    D = log π(y_c)/π_ref(y_c) − log π(y_r)/π_ref(y_r), sums over response tokens.

Compared with DPO:
    the label is smoothed by ε and the divergence turned round: DPO on smoothed labels
    is KL(p‖q) up to a constant (cDPO). The gradient flows through q everywhere.

Valid only if:
    0 < ε < 1/2: at ε = 0 the loss is infinite. The loss is not convex in M: the push is
    σ(M)σ(−M)·(log((1 − ε)/ε) − M), which is next to nothing on a badly wrong pair.

Minimiser:
    M = log((1 − ε)/ε) on a pair with a hard label, as for cDPO. Derived here: a free
    pair won with probability p ends at M = (2p − 1)·log((1 − ε)/ε), linear in p as for
    IPO; checked by the gradient over all pairs of an enumerated world.

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the KL turned round: KL(p‖q) is cDPO.
    (3) no gradient through q as a weight: the gradients of the two terms cancel.
    (4) β forgotten.
    (5) the entropy of q left out: −Σ q log p is linear in σ(M), its infimum is at ∞.
    (6) a mean over tokens.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.core import edits
from workbench.core.card import Card
from workbench.feedback.kinds.pairs import PairLogps
from workbench.loops import offline

card = Card(
    key="exo_pref",
    title="Efficient exact optimisation on pairs",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Ji et al. 2024 (2402.00856)",
    check="A hard pair ends at M = log((1 − ε)/ε), where cDPO ends.",
    claim="The reverse KL seeks a mode where DPO's forward KL covers all.",
    notebook="21a",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config:
    """Settings of EXO on pairs.

    Attributes:
        beta: reward units per nat; the paper's β_π.
        epsilon: probability that p gives the rejected response, in (0, 1/2).
    """

    beta: float = 0.1  # the authors' IMDB script; their others: 0.5
    epsilon: float = 1e-3  # paper's typical value, according to TRL 1.16


def link(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """The loss as a function of D alone."""
    scaled = cfg.beta * margin
    win = scaled.sigmoid() * (logsigmoid(scaled) - math.log1p(-cfg.epsilon))
    return win + (-scaled).sigmoid() * (logsigmoid(-scaled) - math.log(cfg.epsilon))


def weight(margin: Float[Tensor, "*shape"], cfg: Config) -> Float[Tensor, "*shape"]:
    """−dL/dD = β σ(M)σ(−M)·(log((1 − ε)/ε) − M), negative past the minimiser."""
    scaled = cfg.beta * margin
    target = math.log1p(-cfg.epsilon) - math.log(cfg.epsilon)
    return cfg.beta * scaled.sigmoid() * (-scaled).sigmoid() * (target - scaled)


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """KL of the policy's choice from the smoothed label of each pair, in nats."""
    return link(batch.margin(), cfg)


def _turned_round(batch: PairLogps, cfg: Config) -> Tensor:
    scaled = cfg.beta * batch.margin()
    win = (1 - cfg.epsilon) * (math.log1p(-cfg.epsilon) - logsigmoid(scaled))
    return win + cfg.epsilon * (math.log(cfg.epsilon) - logsigmoid(-scaled))


def _constant_weights(batch: PairLogps, cfg: Config) -> Tensor:
    scaled = cfg.beta * batch.margin()
    q = scaled.detach().sigmoid()
    win = q * (logsigmoid(scaled) - math.log1p(-cfg.epsilon))
    return win + (1 - q) * (logsigmoid(-scaled) - math.log(cfg.epsilon))


def _no_entropy(batch: PairLogps, cfg: Config) -> Tensor:
    q = (cfg.beta * batch.margin()).sigmoid()
    return -q * math.log1p(-cfg.epsilon) - (1 - q) * math.log(cfg.epsilon)


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 KL turned round": _turned_round,
    "3 no gradient through the weights": _constant_weights,
    "4 no beta": edits.with_config(loss, beta=1.0),
    "5 no entropy": _no_entropy,
    "6 mean over tokens": edits.mean_over_tokens(loss),
}
