"""How hard a loss pushes the two responses of a pair, by differentiating it.

The push on a response is −dL/d log π(y), loss units per nat: above 0 the loss raises
its probability. For a loss of the margin D alone the two pushes are ±weight(D); for any
other they differ, and a loss may push both responses down.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.feedback.kinds.pairs import PairLogps, Pairs
from workbench.measure.pair_values import pair_values

Grid = Tensor | Sequence[float] | float
POLICY = ("policy_chosen", "policy_rejected")


def pushes(
    method, batch: PairLogps, cfg
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Loss of each pair and the push on its chosen and on its rejected response.

    One nat more for log π(y) is spread evenly over the tokens of y, so the push is the
    mean of −dL/d log π(token): of a sum loss what each token gets, of a loss over token
    means 1/|y| of its slope in the mean.

    Args:
        method: a module with ``loss(batch, cfg)`` of pairs.
        batch: log-probs; differentiated in float64.
        cfg: the method's Config.

    Returns:
        loss, push on the chosen, push on the rejected response. Where a loss mixes the
        pairs of a batch, a push counts what it does to all of them.
    """
    logps = {name: getattr(batch, name).detach().double() for name in POLICY}
    logps = {name: value.requires_grad_() for name, value in logps.items()}
    refs = {
        k: getattr(batch, k).detach().double() for k in ("ref_chosen", "ref_rejected")
    }
    values = method.loss(replace(batch, **logps, **refs), cfg)
    found = torch.autograd.grad(
        values.sum(), list(logps.values()), allow_unused=True, materialize_grads=True
    )
    masks = (batch.chosen_mask, batch.rejected_mask)
    up, down = (_mean(-g, mask) for g, mask in zip(found, masks, strict=True))
    return values.detach(), up, down


def _mean(
    values: Float[Tensor, "batch time"], mask: Bool[Tensor, "batch time"]
) -> Float[Tensor, " batch"]:
    return torch.where(mask, values, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)


def of_grid(method, cfg, chosen: Grid, rejected: Grid, *, ref: float | tuple = -20.0):
    """Loss and pushes of pairs of one-token responses with given log-ratios.

    Args:
        method: a module with ``loss(batch, cfg)`` that reads plain ``PairLogps``.
        cfg: its Config.
        chosen: log-ratios log π/π_ref of chosen responses, nats.
        rejected: the same of rejected ones. The two are broadcast: a line and a number
            give a line, a column and a row give a table, row by row.
        ref: log π_ref of every response, nats; (chosen, rejected) if they differ. A
            loss without a reference reads ref + log-ratio.

    Returns:
        DataFrame[chosen_logratio, rejected_logratio, margin, loss, push_chosen,
        push_rejected], nats, the loss's own unit, and that unit per nat.

    Raises:
        ValueError: a log-ratio makes a probability greater than 1.
    """
    import pandas as pd

    gaps = [torch.as_tensor(g, dtype=torch.float64) for g in (chosen, rejected)]
    gaps = [gap.reshape(-1, 1) for gap in torch.broadcast_tensors(*gaps)]
    bases = ref if isinstance(ref, tuple) else (ref, ref)
    if any((base + gap).max() > 0 for base, gap in zip(bases, gaps, strict=True)):
        raise ValueError(f"a log-ratio above {bases}: lower ref, log π is at most 0")
    refs = [torch.full_like(gap, base) for base, gap in zip(bases, gaps, strict=True)]
    mask = torch.ones_like(refs[0], dtype=torch.bool)
    policy = [base + gap for base, gap in zip(refs, gaps, strict=True)]
    values, up, down = pushes(method, PairLogps(*policy, *refs, mask, mask), cfg)
    columns = {
        "chosen_logratio": gaps[0][:, 0],
        "rejected_logratio": gaps[1][:, 0],
        "margin": (gaps[0] - gaps[1])[:, 0],
        "loss": values,
        "push_chosen": up,
        "push_rejected": down,
    }
    return pd.DataFrame({name: value.tolist() for name, value in columns.items()})


def of_pairs(
    method,
    cfg,
    policy,
    pairs: Pairs,
    ref: tuple[Tensor, Tensor],
    *,
    shared: bool = False,
    chunk: int | None = None,
):
    """What a loss makes of each pair of a data set under a policy, trained or not.

    Args:
        method: a module with ``loss(batch, cfg)`` of pairs.
        cfg: its Config.
        policy: a policy, or a stack of them.
        pairs: for a stack, the pairs of each member lie side by side (member-major).
        ref: ``pairs.reference_logps(reference)``.
        shared: every member of a stack judges all the pairs.
        chunk: pairs per forward pass and member; as many as memory takes if None.

    Returns:
        DataFrame[pair, seed, margin, push_chosen, push_rejected], one row per pair
        and seed; pair is the row in ``pairs``, margin the summed log-ratio of the
        chosen minus that of the rejected response in nats, a push loss units per nat.
    """
    import pandas as pd

    def read(batch: PairLogps) -> Tensor:
        _, up, down = pushes(method, batch, cfg)
        return torch.stack([batch.margin().double(), up, down])

    how = {"shared": shared, "chunk": chunk}
    rows, told = pair_values(policy, pairs, ref, read, **how)
    margin, up, down = told.flatten(1)
    seeds = torch.arange(len(rows))[:, None].expand_as(rows)
    columns = {"pair": rows.flatten(), "seed": seeds.flatten(), "margin": margin}
    columns |= {"push_chosen": up, "push_rejected": down}
    return pd.DataFrame({name: value.tolist() for name, value in columns.items()})
