"""One place where randomness starts."""

import hashlib
import random
from numbers import Integral

import torch


def generator(seed: int | Integral, *stream: object) -> torch.Generator:
    """A generator that depends on the seed and the named stream alone.

    A loop draws batch ``step`` from ``generator(seed, "batch", step)``: a resumed run
    needs no stored generator state to continue bit for bit.

    Args:
        seed: the run's seed.
        stream: names or counters, e.g. ``"batch", 17``.
    """
    # a seed read from a table is a numpy integer: the same seed, another repr
    parts = [int(p) if isinstance(p, Integral) else p for p in (seed, *stream)]
    key = repr(tuple(parts)).encode()
    value = int.from_bytes(hashlib.sha256(key).digest()[:8], "little") >> 1
    return torch.Generator().manual_seed(value)


def seed_everything(seed: int) -> None:
    """Seed Python and torch, and ask torch for deterministic kernels."""
    random.seed(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
