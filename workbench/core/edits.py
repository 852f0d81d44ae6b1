"""Wrong versions of a loss: the right one, of an edited batch or an edited config.

Most losses share a few mistakes. Each is written here once: as an edit of the batch,
and as a function that takes the right loss and returns the wrong one. What to edit is
read from the declaration of the batch (``core.fields``), never from the name of a
field. A method names these and adds the mistakes that are its own; where a mistake
concerns one term of a loss, only that term reads the edited batch.

Below, p and q are the log-probs of the tokens of a response under the policy and under
the reference, in nats; Σ is over its |y| tokens, those whose mask is True.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from workbench.core.fields import Role, declared, of_role, tensors

Loss = Callable[[Any, Any], Tensor]


# ---- edits of a batch ---------------------------------------------------------------


def unmasked(batch: Any, *masks: str) -> Any:
    """The batch with these masks True everywhere, or all if none is named."""
    values = tensors(batch)
    named = masks or of_role(batch, "mask")
    return replace(batch, **{name: torch.ones_like(values[name]) for name in named})


def without_end(batch: Any) -> Any:
    """The batch with the last token of each response masked out.

    A mask that is part of another one stays: what is not in the whole does not count.
    """
    values, declarations = tensors(batch), declared(batch)
    whole = [name for name in of_role(batch, "mask") if declarations[name].mask is None]
    # a token counts if one follows it
    short = {name: values[name] & pad(values[name][..., 1:], (0, 1)) for name in whole}
    return replace(batch, **short)


def averaged(batch: Any, *fields: str) -> Any:
    """The batch with the log-probs of each token divided by |y|.

    Args:
        batch: any batch with log-probs of tokens.
        fields: only these; all of policy and reference if none is named.
    """
    read = _with_lengths(batch, fields)
    return replace(batch, **{name: logps / length for name, logps, length in read})


def summed(batch: Any, *fields: str) -> Any:
    """The batch with the log-probs of each token times |y|; see ``averaged``."""
    read = _with_lengths(batch, fields)
    return replace(batch, **{name: logps * length for name, logps, length in read})


def without_reference(batch: Any) -> Any:
    """The batch with every frozen log-prob 0, so that p − q is p."""
    frozen = _token_logps(batch, "frozen")
    return replace(batch, **{name: torch.zeros_like(q) for name, q in frozen.items()})


def reference_attached(batch: Any) -> Any:
    """The batch with p + (sg q − q) for p: the value is p, and −1 its slope in q."""
    declarations, frozen = declared(batch), _token_logps(batch, "frozen")
    moved = _token_logps(batch, "learned")
    for name, p in moved.items():
        mask = declarations[name].mask
        partners = [q for of, q in frozen.items() if declarations[of].mask == mask]
        moved[name] = p + sum(q.detach() - q for q in partners)
    return replace(batch, **moved)


def _token_logps(batch: Any, *roles: Role) -> dict[str, Tensor]:
    """The fields of these roles with one log-prob per token, so no distributions."""
    declarations, values = declared(batch), tensors(batch)
    named = [name for name in of_role(batch, *roles) if declarations[name].logps]
    logps = {name: values[name] for name in named}
    return {n: v for n, v in logps.items() if v.ndim == _mask_of(batch, n).ndim}


def _mask_of(batch: Any, name: str) -> Tensor:
    """True on the entries of a field that count."""
    mask = declared(batch)[name].mask
    if mask is None:
        raise ValueError(f"{name} has one value per example, and no mask")
    return tensors(batch)[mask]


def _with_lengths(
    batch: Any, fields: tuple[str, ...]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, log-probs and |y| (at least 1) of fields with one log-prob per token."""
    values = tensors(batch)
    for name in fields or _token_logps(batch, "learned", "frozen"):
        length = _mask_of(batch, name).sum(-1, keepdim=True).clamp(min=1)
        yield name, values[name], length


# ---- wrong versions of a loss -------------------------------------------------------


def instead(loss: Loss, wrong: Loss) -> Loss:
    """Another function in the place of a loss; it reads the batch that the loss reads.

    A loop makes the batch that the annotations of a loss ask for, so they are kept.
    """

    @wraps(loss)
    def version(batch: Any, cfg: Any) -> Tensor:
        return wrong(batch, cfg)

    return version


def wrong_sign(loss: Loss) -> Loss:
    """−L: what should fall rises."""
    return instead(loss, lambda batch, cfg: -loss(batch, cfg))


def with_config(loss: Loss, **new: Any) -> Loss:
    """Some settings replaced, each by a value or by a function of the config.

    ``with_config(loss, beta=1.0)`` is the loss whose β was forgotten.
    """

    def wrong(batch: Any, cfg: Any) -> Tensor:
        made = {n: value(cfg) if callable(value) else value for n, value in new.items()}
        return loss(batch, replace(cfg, **made))

    return instead(loss, wrong)


def with_batch(loss: Loss, **new: Callable[[Any], Tensor]) -> Loss:
    """Some fields of the batch replaced, each by a function of the batch."""

    def wrong(batch: Any, cfg: Any) -> Tensor:
        made = {name: function(batch) for name, function in new.items()}
        return loss(replace(batch, **made), cfg)

    return instead(loss, wrong)


def swapped(loss: Loss) -> Loss:
    """The labels turned round: chosen and rejected exchanged, thumbs, scores.

    The batch says by its method ``swapped`` what that is.
    """
    return instead(loss, lambda batch, cfg: loss(batch.swapped(), cfg))


def mask_ignored(loss: Loss, *masks: str) -> Loss:
    """Prompt and padding counted as tokens of the response: ``unmasked``."""
    return instead(loss, lambda batch, cfg: loss(unmasked(batch, *masks), cfg))


def end_left_out(loss: Loss) -> Loss:
    """The end of sequence left out of each response: ``without_end``."""
    return instead(loss, lambda batch, cfg: loss(without_end(batch), cfg))


def mean_over_tokens(loss: Loss, *fields: str) -> Loss:
    """A mean over tokens where the sum is meant: ``averaged``.

    A loss f(Σp, Σq) becomes f(Σp/|y|, Σq/|y|), which is f of the means. So is the
    gradient, f′/|y| on each token. It holds for functions of the two sums alone.
    """
    return instead(loss, lambda batch, cfg: loss(averaged(batch, *fields), cfg))


def sum_over_tokens(loss: Loss, *fields: str) -> Loss:
    """A sum over tokens where the mean is meant: ``summed``."""
    return instead(loss, lambda batch, cfg: loss(summed(batch, *fields), cfg))


def no_reference(loss: Loss) -> Loss:
    """The reference left out: log-probs where log-ratios are meant."""
    return instead(loss, lambda batch, cfg: loss(without_reference(batch), cfg))


def through_reference(loss: Loss) -> Loss:
    """A gradient through the reference: the value agrees, the training does not.

    The right loss f(p − sg q) of ``reference_attached`` has the gradient f′ in p, as
    before, and −f′ in q: that of f(p − q). It holds for a loss of log-ratios alone.
    """
    return instead(loss, lambda batch, cfg: loss(reference_attached(batch), cfg))
