"""Log-probs of single tokens, without the logits of a whole sequence at once.

A pair at 512 tokens and 152,000 words has 0.6 GB of logits in float32, and a backward
pass holds them several times. Here the head is applied to a few positions at a time,
only where a token counts, and once more in the backward pass: time for memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

WORDS = 2**14  # vocabularies from which on it is worth the second pass
_PRODUCTS = 2**23  # of the head at a time, 32 MiB in float32
_LOUD = 100.0  # size of the trial's logits, at which every cap shows


@dataclass(frozen=True)
class Tail:
    """What a family makes of the products of its head.

    Attributes:
        factor: they are multiplied by it (Cohere, Granite).
        cap: c of c·tanh(x/c), which follows (Gemma 2); None caps nothing.
    """

    factor: float = 1.0
    cap: float | None = None

    def __call__(self, products: Tensor) -> Tensor:
        """Logits."""
        scaled = products if self.factor == 1 else products * self.factor
        return scaled if self.cap is None else self.cap * (scaled / self.cap).tanh()


@torch.no_grad()
def tail_of(model: Any) -> Tail | None:
    """What follows the head of a model, as its configuration says and a trial confirms.

    Returns:
        None where the logits are not the head's products, multiplied and capped.
    """
    head, base = model.get_output_embeddings(), model.base_model
    if head is None or base is model:
        return None
    config = model.config.get_text_config()
    factor = getattr(config, "logit_scale", None) or 1.0
    factor /= getattr(config, "logits_scaling", None) or 1.0
    tail = Tail(factor, getattr(config, "final_logit_softcapping", None))
    device = next(model.parameters()).device
    ids = torch.arange(min(8, config.vocab_size), device=device)[None]
    hidden = base(input_ids=ids, use_cache=False)[0]
    products = head(hidden)
    louder = _LOUD / float((products * factor).abs().max().clamp(min=1e-9))
    handle = head.register_forward_hook(lambda module, given, made: made * louder)
    try:
        logits = model(input_ids=ids, use_cache=False).logits
        told = tail(head(hidden))
    finally:
        handle.remove()
    same = logits.shape == told.shape and torch.allclose(
        logits, told, rtol=1e-5, atol=1e-5 * _LOUD
    )
    return tail if same else None


def logps(
    hidden: Float[Tensor, "batch time width"],
    ids: Int[Tensor, "batch time"],
    mask: Bool[Tensor, "batch time"],
    head: nn.Module,
    tail: Tail,
    ban: Float[Tensor, " vocab"],
) -> Float[Tensor, "batch time"]:
    """``core.logps.token_logps`` of the logits that a head would give.

    Args:
        hidden: what the head reads, after each token.
        ids: the tokens that were read.
        mask: True where a token counts.
        head: a linear layer; or another module, such as one with an adapter.
        tail: what follows it.
        ban: is added to the logits: 0, or −inf for tokens that are never written.
    """
    counts = mask[:, 1:]
    rows, asked = hidden[:, :-1][counts], ids[:, 1:][counts]
    if type(head) is nn.Linear:
        found = _Picked.apply(rows, head.weight, head.bias, asked, tail, ban)
    else:
        size = max(1, _PRODUCTS // len(ban))
        pieces = zip(rows.split(size), asked.split(size), strict=True)
        found = torch.cat([
            checkpoint(_pick_by, head, *piece, tail, ban, use_reentrant=False)
            for piece in pieces
        ])  # fmt: skip
    made = found.new_zeros(counts.shape).masked_scatter(counts, found)
    return nn.functional.pad(made, (1, 0))


def _pick_by(head, rows: Tensor, asked: Tensor, tail: Tail, ban: Tensor) -> Tensor:
    return _pick(head(rows).float(), asked, tail, ban)


def _pick(products: Tensor, asked: Tensor, tail: Tail, ban: Tensor) -> Tensor:
    """Log-probs of the asked tokens, [row]."""
    logits = tail(products) + ban
    return logits.log_softmax(-1).gather(-1, asked[:, None])[:, 0]


class _Picked(torch.autograd.Function):
    """The same for a linear head; the gradient of its weights is one tensor.

    A frozen head, as beside an adapter, is not applied twice: the gradient of a row is
    a factor that comes later, times a vector that the forward pass can make.
    """

    @staticmethod
    def forward(ctx, rows, weight, bias, asked, tail, ban):
        # the backward pass makes the same products, in the same precision
        ctx.tail, ctx.bf16 = tail, torch.is_autocast_enabled(rows.device.type)
        moves, *learns = ctx.needs_input_grad[:3]
        ctx.once = moves and not any(learns)
        found, vectors = [], torch.empty_like(rows) if ctx.once else rows
        for at in _pieces(rows, ban):
            products = linear(rows[at], weight, bias).float()
            if ctx.once:
                values, moved = _moved(products, asked[at], tail, ban)
                vectors[at] = moved.to(rows.dtype) @ weight.to(rows.dtype)
            else:
                values = _pick(products, asked[at], tail, ban)
            found.append(values)
        ctx.save_for_backward(vectors, weight, bias, asked, ban)
        return torch.cat(found) if found else rows.new_zeros(0)

    @staticmethod
    def backward(ctx, gradient):
        rows, weight, bias, asked, ban = ctx.saved_tensors
        if ctx.once:
            return gradient[:, None].to(rows.dtype) * rows, *[None] * 5
        to_rows, to_weight, to_bias = (
            torch.zeros_like(tensor) if needed else None
            for tensor, needed in zip(
                (rows, weight, bias), ctx.needs_input_grad[:3], strict=True
            )
        )
        for at in _pieces(rows, ban):
            with torch.autocast(rows.device.type, torch.bfloat16, enabled=ctx.bf16):
                products = linear(rows[at], weight, bias).float()
            _, moved = _moved(products, asked[at], ctx.tail, ban)
            moved = (gradient[at][:, None] * moved).to(rows.dtype)
            if to_rows is not None:
                to_rows[at] = moved @ weight.to(rows.dtype)
            if to_weight is not None:
                to_weight.addmm_(moved.T.to(weight), rows[at].to(weight))
            if to_bias is not None:
                to_bias += moved.sum(0).to(bias)
        return to_rows, to_weight, to_bias, None, None, None


def _moved(
    products: Tensor, asked: Tensor, tail: Tail, ban: Tensor
) -> tuple[Tensor, Tensor]:
    """Log-probs of the asked tokens, and the gradient of each in its own products."""
    products = products.detach().requires_grad_()
    with torch.enable_grad():
        found = _pick(products, asked, tail, ban)
        (moved,) = torch.autograd.grad(found.sum(), products)
    return found.detach(), moved


def _pieces(rows: Tensor, ban: Tensor) -> Iterator[slice]:
    size = max(1, _PRODUCTS // len(ban))
    return (slice(i, i + size) for i in range(0, len(rows), size))
