"""What holds for every loss, whatever its formula: the generic checks.

Each property takes a subject and returns None, or a sentence on what is wrong. The
test suite runs them on every method of the catalogue; ``teach.check`` on a student's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from workbench.core.fields import declared, of_role, tensors

Loss = Callable[[Any, Any], Tensor]
# nats a token; four tokens of it still have a finite ratio e^600 in float64
EXTREME = -150.0
GARBAGE_COLUMNS = 3


@dataclass(frozen=True)
class Subject:
    """A loss with the batches and the config it is checked on.

    Attributes:
        loss: the function, called as ``loss(batch, cfg)``.
        batch_class: dataclass with an ``example`` classmethod.
        cfg: the method's config.
        needs: the card's needs; ``"whitening"`` couples all rows of a batch.
    """

    loss: Loss
    batch_class: type
    cfg: Any
    needs: tuple[str, ...] = ()

    def example(self, seed: int = 0, batch: int = 8) -> Any:
        """A random valid batch in float64."""
        generator = torch.Generator().manual_seed(seed)
        return self.batch_class.example(generator, batch=batch, dtype=torch.float64)

    def extreme(self, seed: int = 0) -> Any:
        """Sixteen examples whose tokens have log-prob 0 or −150, in every combination.

        Where no log-probs are read, scores are 1,000 times as far apart.
        """
        batch = self.example(seed, batch=16)
        far, told = {}, declared(batch)
        for name, value, mask in _token_fields(batch):
            if told[name].logps:
                # the responses of a list differ: each begins the pattern elsewhere
                place = torch.arange(16).reshape(16, *[1] * (mask.ndim - 1))
                if mask.ndim == 3:
                    place = place + torch.arange(mask.shape[1])[:, None]
                low = ((place >> len(far)) % 2 == 1) & mask
                low = low.reshape(*low.shape, *[1] * (value.ndim - low.ndim))
                far[name] = torch.where(low, EXTREME, 0.0).to(value).expand_as(value)
        if not far:
            learned = of_role(batch, "learned")
            far = {name: 1e3 * getattr(batch, name) for name in learned}
        return replace(batch, **far)

    def value(self, batch: Any) -> Tensor:
        """The loss of a batch, without gradient."""
        return self.loss(batch, self.cfg).detach()


def mask_of(batch: Any, name: str) -> Tensor | None:
    """The mask of a field, as its batch declares it; None for a value per example.

    A distribution has the axes of its mask and the vocabulary behind them.
    """
    told = declared(batch).get(name)
    return None if told is None or told.mask is None else getattr(batch, told.mask)


def _token_fields(batch: Any) -> Iterator[tuple[str, Tensor, Tensor]]:
    for name, value in tensors(batch).items():
        mask = mask_of(batch, name)
        if value.is_floating_point() and mask is not None:
            yield name, value, mask


def rows(batch: Any, index: Tensor) -> Any:
    """The same batch with other rows."""
    return replace(batch, **{k: v[index] for k, v in tensors(batch).items()})


def with_garbage(batch: Any, seed: int = 0) -> Any:
    """The same batch with noise wherever a mask is False."""
    generator = torch.Generator().manual_seed(seed)
    dirty = {}
    for name, value, mask in _token_fields(batch):
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        counts = mask.reshape(*mask.shape, *[1] * (value.ndim - mask.ndim))
        dirty[name] = torch.where(counts, value, (3 * noise).to(value.dtype))
    return replace(batch, **dirty)


def padded(batch: Any) -> Any:
    """The same batch with masked columns of garbage at the end."""
    wide = {}
    for name, value in tensors(batch).items():
        mask = mask_of(batch, name)
        told = declared(batch)[name]
        if mask is None and told.role != "mask":
            continue  # a value for the whole response, or for each of a list
        behind = value.ndim - (value if mask is None else mask).ndim
        size = (0, 0) * behind + (0, GARBAGE_COLUMNS)
        wide[name] = torch.nn.functional.pad(value, size)
    return with_garbage(replace(batch, **wide))


def single(batch: Any) -> Any:
    """The same batch in float32."""
    floats = {n: v.float() for n, v in tensors(batch).items() if v.is_floating_point()}
    return replace(batch, **floats)


def leaves(batch: Any) -> Any:
    """The same batch; gradients are wanted for all its real numbers."""
    wanted = {
        name: value.detach().clone().requires_grad_()
        for name, value in tensors(batch).items()
        if value.is_floating_point()
    }
    return replace(batch, **wanted)


def gradients(value: Tensor, batch: Any) -> dict[str, Tensor]:
    """Gradient of a random weighting of the rows, for each field of ``leaves(batch)``.

    The weights differ, so a gradient in the wrong row shows.
    """
    learned = {n: v for n, v in tensors(batch).items() if v.requires_grad}
    if not value.requires_grad:
        return {name: torch.zeros_like(v) for name, v in learned.items()}
    generator = torch.Generator().manual_seed(17)
    weight = 0.5 + torch.rand(value.shape, generator=generator).to(value)
    found = torch.autograd.grad(
        (weight * value).sum(), list(learned.values()), allow_unused=True
    )
    return {
        name: torch.zeros_like(v) if g is None else g
        for (name, v), g in zip(learned.items(), found, strict=True)
    }


def same(a: Tensor, b: Tensor, tolerance: float | None = None) -> bool:
    """Equal shapes and values, up to the rounding of the less precise one."""
    if a.shape != b.shape:
        return False
    if tolerance is None:
        tolerance = 1e-4 if torch.float32 in (a.dtype, b.dtype) else 1e-9
    return torch.allclose(a.to(b), b, rtol=tolerance, atol=tolerance, equal_nan=True)


def one_value_per_example(subject: Subject) -> str | None:
    """The loss of eight examples is eight values."""
    shape = tuple(subject.value(subject.example()).shape)
    return None if shape == (8,) else f"8 examples gave the shape {shape}, not (8,)"


def finite_at_extremes(subject: Subject) -> str | None:
    """Value and gradient are finite when tokens have log-prob 0 or −150."""
    for seed in range(4):
        batch = leaves(subject.extreme(seed))
        value = subject.loss(batch, subject.cfg)
        if not value.isfinite().all():
            return "the value is not finite at extreme log-probs"
        if not all(g.isfinite().all() for g in gradients(value, batch).values()):
            return "the gradient is not finite at extreme log-probs"
    return None


def padding_changes_nothing(subject: Subject) -> str | None:
    """Masked columns count for nothing, whatever stands in them."""
    for seed in range(2):
        batch = subject.example(seed)
        if not same(subject.value(padded(batch)), subject.value(batch)):
            return "the value changes with what stands outside the mask"
    return None


def _group(batch: Any) -> int:
    size = vars(batch).get("group", 1)
    return size if isinstance(size, int) else 1


def order_changes_nothing(subject: Subject) -> str | None:
    """Examples in another order give the same values in that order."""
    batch = subject.example()
    generator = torch.Generator().manual_seed(1)
    # the responses to a prompt stay side by side
    blocks = torch.arange(8).reshape(-1, _group(batch))
    index = blocks[torch.randperm(len(blocks), generator=generator)].flip(1).flatten()
    if same(subject.value(rows(batch, index)), subject.value(batch)[index]):
        return None
    return "the values change when the examples change places"


def rows_do_not_mix(subject: Subject) -> str | None:
    """A batch of eight equals eight batches of one (or of one group)."""
    if "whitening" in subject.needs:
        return None  # a batch statistic is part of the method
    batch = subject.example()
    blocks = torch.arange(8).split(_group(batch))
    parts = [subject.value(rows(batch, index)) for index in blocks]
    if any(part.ndim != 1 for part in parts):
        return "a batch of one does not give one value"
    if same(torch.cat(parts), subject.value(batch)):
        return None
    return "an example's value depends on the other examples of the batch"


def no_gradient_into_frozen(subject: Subject) -> str | None:
    """The reference and the sampling policy are constants."""
    batch = leaves(with_garbage(subject.example()))
    found = gradients(subject.loss(batch, subject.cfg), batch)
    for name in of_role(batch, "frozen"):
        if found[name].abs().max() > 0:
            return f"a gradient flows into {name}, which is a constant"
    return None


def learns(subject: Subject) -> str | None:
    """Some gradient reaches what is learned."""
    batch = leaves(subject.example())
    found = gradients(subject.loss(batch, subject.cfg), batch)
    moved = any(found[n].abs().max() > 0 for n in of_role(batch, "learned"))
    return None if moved else "no gradient reaches the policy"


def precision_changes_little(subject: Subject) -> str | None:
    """float32 and float64 agree to single precision."""
    batch = subject.example()
    value = subject.value(single(batch))
    if value.dtype != torch.float32:
        return f"float32 log-probs gave {value.dtype}"
    if same(value.double(), subject.value(batch), 1e-4):
        return None
    return "float32 and float64 disagree"


PROPERTIES: dict[str, Callable[[Subject], str | None]] = {
    check.__name__: check
    for check in (
        one_value_per_example,
        finite_at_extremes,
        padding_changes_nothing,
        order_changes_nothing,
        rows_do_not_mix,
        no_gradient_into_frozen,
        learns,
        precision_changes_little,
    )
}
