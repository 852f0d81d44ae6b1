"""Single responses with a thumb, for tests of the losses that read them."""

from dataclasses import replace

import torch

from tests.methods.enumerated import F64
from workbench.feedback.kinds.pairs import PairLogps
from workbench.feedback.kinds.thumbs import ThumbLogps

PROMPT, PADDING = -9.0, -4.0  # numbers that a loss must not read


def thumbs(logratios, up, point=0.0, mean=0.0) -> ThumbLogps:
    """Responses of 3, 1, 3, 1 … tokens with these log-ratios d, in nats.

    Args:
        logratios: one number per response, spread unevenly over its tokens.
        up: True for a thumb up.
        point: the reference point, one number for all.
        mean: the mean log-ratio, one number for all.

    A prompt column stands in front and padding behind; both hold other numbers.
    """
    n = len(logratios)
    at = torch.arange(5)
    lengths = torch.tensor([3, 1])[torch.arange(n) % 2]
    mask = (at >= 1) & (at <= lengths[:, None])
    share = torch.tensor([0, 0.5, 0.3, 0.2, 0], dtype=F64).repeat(n, 1)
    share[1::2] = torch.tensor([0.0, 1, 0, 0, 0], dtype=F64)
    ref = torch.where(mask, -6.0 - 0.5 * at, PADDING).to(F64)
    ref[:, 0] = PROMPT
    d = torch.as_tensor(logratios, dtype=F64)[:, None]
    return ThumbLogps(
        policy=torch.where(mask, ref + share * d, ref - 0.5),
        ref=ref,
        mask=mask,
        up=torch.as_tensor(up),
        reference_point=torch.full((n,), float(point), dtype=F64),
        reference_mean=torch.full((n,), float(mean), dtype=F64),
    )


def pair_of(batch: ThumbLogps) -> PairLogps:
    """The first two responses as a pair; the first is chosen."""
    return PairLogps(
        batch.policy[:1],
        batch.policy[1:2],
        batch.ref[:1],
        batch.ref[1:2],
        batch.mask[:1],
        batch.mask[1:2],
    )


def one_token(logratio, up, point=0.0, mean=0.0) -> ThumbLogps:
    """One-token responses with these log-ratios; gradients flow into them."""
    base = torch.full_like(logratio.detach(), -20.0)[:, None]
    number = torch.ones_like(base[:, 0])
    return ThumbLogps(
        policy=base + logratio[:, None],
        ref=base,
        mask=torch.ones_like(base, dtype=torch.bool),
        up=torch.full_like(number, up, dtype=torch.bool),
        reference_point=point * number,
        reference_mean=mean * number,
    )


def expected(loss, cfg, logratio, chance, point=0.0, mean=0.0):
    """Loss of a response that is called good with this chance, for each log-ratio."""
    good, bad = (
        loss(one_token(logratio, up, point, mean), cfg) for up in (True, False)
    )
    return chance * good + (1 - chance) * bad


def slope(loss, cfg, logratio, chance, point=0.0, mean=0.0):
    """Derivative of ``expected`` in the log-ratio."""
    at = logratio.detach().requires_grad_()
    value = expected(loss, cfg, at, chance, point, mean).sum()
    return torch.autograd.grad(value, at)[0]


def pulls(loss, batch: ThumbLogps, cfg):
    """−dL/d log π of every token."""
    policy = batch.policy.detach().requires_grad_()
    value = loss(replace(batch, policy=policy), cfg).sum()
    return -torch.autograd.grad(value, policy)[0]


def constant_gradient(loss, batch: ThumbLogps, cfg) -> float:
    """The largest gradient into reference and reference points: 0 for a right loss."""
    names = ("ref", "reference_point", "reference_mean")
    leaves = {n: getattr(batch, n).detach().requires_grad_() for n in names}
    moved = replace(batch, policy=batch.policy.detach().requires_grad_(), **leaves)
    value = loss(moved, cfg).sum()
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return max(0.0 if g is None else g.abs().max().item() for g in found)
