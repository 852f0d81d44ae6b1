"""Where a model runs."""

import warnings


def pick(name: str = "cpu") -> str:
    """The device asked for, or the CPU with a warning if there is no such device.

    Args:
        name: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    """
    import torch

    if name.startswith("cuda") and not torch.cuda.is_available():
        warnings.warn(f"no CUDA device for {name!r}: running on the CPU", stacklevel=2)
        return "cpu"
    return name
