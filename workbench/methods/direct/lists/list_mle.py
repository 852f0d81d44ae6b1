"""The likelihood of a whole ranking: Plackett–Luce on implicit rewards.

Objective:
    L = Σ_k [log Σ_{i = k or r_i < r_k} e^{s_i} − s_k],  s_i = β log π(y_i)/π_ref(y_i),
    sums over response tokens: at each rank the response there is picked from those
    that are left. A sum over ranks, not a mean; the last rank adds 0.

Compared with DPO:
    a pair becomes a ranking (DPO-PL). K = 2 is DPO itself.

Valid only if:
    all responses of a list answer the same prompt. Only the order of the scores is
    read, never their distances. Equal scores are not compared: neither stands in the
    other's sum.

Minimiser:
    Ranks drawn from a Plackett–Luce distribution of reward r: β d = r + c, which is
    π*_β, whatever lists are drawn. Checked over all ordered triples of an enumerated
    world. With fixed ranks the infimum lies at infinite margins.

Known mistakes:
    (1) the order reversed.
    (2) only the first pick: softmax cross-entropy of the best response.
    (3) the whole list in every denominator: what is picked was not put aside.
    (4) the place in the list taken for the rank: scores come in no order.
    (5) a mean over tokens.
    (6) the reference left out: PRO without temperatures and lengths.
    (7) the worst picked first with logits −s: another distribution unless K = 2.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import edits, rankings
from workbench.core.card import Card
from workbench.feedback.kinds.lists import ListLogps
from workbench.loops import offline
from workbench.methods.direct.lists import pair_logistic

card = Card(
    key="list_mle",
    title="ListMLE, DPO under Plackett–Luce",
    parents=("dpo",),
    needs=("lists", "reward", "reference"),
    paper="Rafailov et al. 2023 (2305.18290); T. Liu et al. 2024 (2402.01878)",
    check="Under Plackett–Luce ranks the population minimiser is β d = r + c.",
    claim="It ignores the size of labels, and longer lists help it less than LiPO-λ.",
    notebook="28a",
    loop=offline,
    scale="beta",
    optimum="beta",
)
Config = pair_logistic.Config


def loss(batch: ListLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log of the Plackett–Luce probability of each list's ranking, in nats."""
    implied = cfg.beta * batch.logratio()
    return rankings.rank_nll(implied, batch.scores)


def _worst_first(batch: ListLogps, cfg: Config) -> Tensor:
    implied = -cfg.beta * batch.logratio()
    return rankings.rank_nll(implied, -batch.scores)


def _first_pick(batch: ListLogps, cfg: Config) -> Tensor:
    logps = (cfg.beta * batch.logratio()).log_softmax(-1)
    return -logps.gather(-1, batch.scores.argmax(-1, keepdim=True))[:, 0]


def _nothing_put_aside(batch: ListLogps, cfg: Config) -> Tensor:
    return -(cfg.beta * batch.logratio()).log_softmax(-1).sum(-1)


def _place_as_rank(batch: ListLogps, cfg: Config) -> Tensor:
    place = torch.arange(batch.scores.shape[-1]).expand_as(batch.scores)
    return loss(replace(batch, scores=-place.to(batch.scores)), cfg)


mistakes = {
    "1 order reversed": edits.swapped(loss),
    "2 first pick alone": _first_pick,
    "3 nothing put aside": _nothing_put_aside,
    "4 place taken for the rank": _place_as_rank,
    "5 mean over tokens": edits.mean_over_tokens(loss),
    "6 no reference": edits.no_reference(loss),
    "7 worst picked first": _worst_first,
}
