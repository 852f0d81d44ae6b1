"""What the five probes read of a policy that a faulty DPO loss has trained.

The policy is a table of next-token log-probs, one for each prompt of each probe, and
the labels are exact: both orders of a pair, weighted with their probability. All five
probes train side by side, by gradient descent with momentum, in some milliseconds.
"""

from collections.abc import Callable

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import PairLogps
from workbench.methods.direct.links import dpo
from workbench.worlds.probes import PROBES, diagnose

STEPS, RATE, MOMENTUM = 40, 2.0, 0.6
HEALTHY, STILL, HIDDEN, CLEAN = (
    "nothing",
    "step size 0",
    "prompt hidden",
    "noise removed",
)
ELSEWHERE = (HEALTHY, STILL, HIDDEN, CLEAN)
Loss = Callable[[PairLogps, dpo.Config], Tensor]

_TREE = PROBES[0].world.tree
_ACTIONS = _TREE.n_words + 1
_SIZES = [len(probe.better) for probe in PROBES]  # prompts of each probe


def _labels() -> tuple[Tensor, Tensor, Tensor]:
    """Prompt, chosen and rejected answer of both orders of every pair."""
    pair = torch.cat([probe.pair for probe in PROBES])
    prompt = torch.arange(len(pair)).repeat(2)
    return prompt, pair.T.flatten(), pair.flip(1).T.flatten()


def _places(prompt: Tensor, response: Tensor) -> tuple[Tensor, Tensor]:
    """Where in a flat table the tokens of each response stand, and their mask."""
    nodes, actions = _TREE.paths(response)
    start = prompt[:, None] * _TREE.n_nodes + nodes
    return (start * _ACTIONS + actions).clamp(min=0), actions >= 0


def _read(table: Tensor, places: Tensor, mask: Tensor) -> Tensor:
    """Log-probs of the tokens of each response, 0 after its end."""
    return torch.where(mask, table.flatten()[places], 0.0)


def trained_logps(loss: Loss, elsewhere: str) -> Float[Tensor, "prompt response"]:
    """log π of all answers to all prompts of the probes, after training.

    Args:
        loss: DPO's, or one of its known mistakes.
        elsewhere: a fault outside the loss, one of ``ELSEWHERE``.
    """
    prompt, *sides = _labels()
    gold = torch.cat([probe.world.gold for probe in PROBES])
    weight = Annotator().probability(*(gold[prompt, side] for side in sides))
    if elsewhere == CLEAN:
        weight = (weight >= 0.5).double()
    asked = torch.arange(len(gold))
    if elsewhere == HIDDEN:  # every question is asked as the first one of its probe
        first = [sum(_SIZES[:i]) for i, n in enumerate(_SIZES) for _ in range(n)]
        asked = torch.tensor(first)
    ref = _TREE.conditionals(torch.cat([probe.ref_logps for probe in PROBES]))
    masks = [_places(prompt, side)[1] for side in sides]
    frozen = [_read(ref, *_places(prompt, side)) for side in sides]
    read = [_places(asked[prompt], side) for side in sides]
    cfg = dpo.Config(beta=PROBES[0].beta)
    table, speed = torch.zeros_like(ref).requires_grad_(), torch.zeros_like(ref)
    for _ in range(0 if elsewhere == STILL else STEPS):
        now = table.log_softmax(-1)
        batch = PairLogps(*(_read(now, *side) for side in read), *frozen, *masks)
        (slope,) = torch.autograd.grad((loss(batch, cfg) * weight).sum(), table)
        speed = MOMENTUM * speed + slope
        table = (table - RATE * speed).detach().requires_grad_()
    return _TREE.response_logps(table.detach().log_softmax(-1))[asked]


def fault_readings(loss: Loss, elsewhere: str = HEALTHY) -> pd.DataFrame:
    """What each probe reads, and whether it passes.

    Args:
        loss: DPO's, or one of its known mistakes.
        elsewhere: a fault outside the loss, one of ``ELSEWHERE``.

    Returns:
        DataFrame[probe, part, reading, right, low, high, passed], reward units.
    """
    parts = trained_logps(loss, elsewhere).split(_SIZES)
    of = {probe.name: part for probe, part in zip(PROBES, parts, strict=True)}
    rows = diagnose(lambda probe: of[probe.name])
    return rows.assign(right=[probe.answer for probe in PROBES])
