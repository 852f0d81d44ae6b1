"""LD-DPO: tokens beyond the length of the shorter response count less.

Objective:
    L = −log σ(β·D_a),  D_a = d_a(y_c) − d_a(y_r),
    d_a(y) = d(first l tokens of y) + a·d(the rest),  l = min(|y_c|, |y_r|),
    d the log-ratio of policy and reference.

Compared with DPO:
    the longer response's tokens after l enter with the factor a, in the policy and in
    the reference: DPO for a = 1, DPO on both responses cut to l tokens for a = 0.

Valid only if:
    both responses answer the same prompt; 0 ≤ a ≤ 1; positions are counted from the
    first response token.

Minimiser:
    on pairs of equal lengths π*_β for every a, as for DPO: such pairs fix ratios within
    a length only. With other pairs none in closed form for a < 1: the score of a
    response depends on its partner's length, and π*_β is not stationary (both checked).

Known mistakes:
    (1) chosen and rejected swapped.
    (2) the reference left whole: only the policy's rest is scaled; D_a ≠ 0 at first.
    (3) l counted from the first column: the prompt uses it up.
    (4) a on the first l tokens, not on the rest.
    (5) the rest detached: the value of DPO with the gradient of a = 0.
    (6) a gradient through the reference: the values agree, the training does not.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import edits
from workbench.core.card import Card
from workbench.core.logps import sequence_logps
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops import offline
from workbench.methods.direct.links import dpo

card = Card(
    key="ld_dpo",
    title="Length-desensitised DPO",
    parents=("dpo",),
    needs=("pairs", "reference"),
    paper="Liu et al. 2024 (2409.06411)",
    check="a = 1 is DPO; a = 0 is DPO on both responses cut to the shorter length.",
    claim="Responses grow less than under DPO at equal quality.",
    notebook="25b",
    loop=offline,
    scale="beta",
)


@dataclass(frozen=True)
class Config(dpo.Config):
    """Settings of LD-DPO.

    Attributes:
        beta: reward units per nat.
        a: factor of the tokens beyond the shorter response, between 0 and 1.
    """

    beta: float = 0.1  # as DPO
    a: float = 0.5  # ours: the middle, to be tuned; TRL (ld_alpha) has no default


def shared_length(batch: PairLogps) -> Int[Tensor, " batch"]:
    """l = min(|y_c|, |y_r|), in tokens."""
    return torch.minimum(batch.chosen_mask.sum(-1), batch.rejected_mask.sum(-1))


def scaled(
    side: ResponseLogps, shared: Int[Tensor, " batch"], a: float
) -> Float[Tensor, "batch time"]:
    """Token log-ratios: whole on the first ``shared`` response tokens, a-fold after."""
    first = (side.mask.cumsum(-1) <= shared[:, None]).to(side.policy)
    return (a + (1 - a) * first) * (side.policy - side.ref.detach())


def loss(batch: PairLogps, cfg: Config) -> Float[Tensor, " batch"]:
    """−log σ(β·D_a) of each pair, in nats."""
    shared = shared_length(batch)
    chosen = scaled(batch.chosen, shared, cfg.a)
    rejected = scaled(batch.rejected, shared, cfg.a)
    margin = sequence_logps(chosen, batch.chosen_mask)
    return dpo.link(margin - sequence_logps(rejected, batch.rejected_mask), cfg)


def _with(ratio: Callable[[ResponseLogps, Tensor, float], Tensor]) -> edits.Loss:
    def wrong(batch: PairLogps, cfg: Config) -> Tensor:
        shared = shared_length(batch)
        both = (batch.chosen, batch.rejected)
        first, second = (sequence_logps(ratio(y, shared, cfg.a), y.mask) for y in both)
        return dpo.link(first - second, cfg)

    return wrong


def _rest_detached(side: ResponseLogps, shared: Tensor, a: float) -> Tensor:
    rest = scaled(side, shared, 1.0) - scaled(side, shared, 0.0)
    return scaled(side, shared, 0.0) + rest.detach()


mistakes = {
    "1 swapped pair": edits.swapped(loss),
    "2 reference whole": _with(
        lambda y, n, a: scaled(edits.without_reference(y), n, a) - y.ref.detach()
    ),
    "3 prompt counted": _with(lambda y, n, a: scaled(edits.unmasked(y), n, a)),
    "4 first tokens scaled": _with(
        lambda y, n, a: (1 + a) * scaled(y, n, 1.0) - scaled(y, n, a)
    ),
    "5 rest detached": _with(_rest_detached),
    "6 gradient through the reference": edits.through_reference(loss),
}
