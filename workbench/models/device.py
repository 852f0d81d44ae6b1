"""Where a model runs."""

import warnings

from workbench.core.errors import WorkbenchWarning


def pick(name: str = "cpu") -> str:
    """The device asked for, or the CPU with a warning if there is no such device.

    Args:
        name: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    """
    import torch

    if name.startswith("cuda") and not torch.cuda.is_available():
        message = f"no CUDA device for {name!r}: running on the CPU"
        warnings.warn(message, WorkbenchWarning, stacklevel=2)
        return "cpu"
    return name


def place(model, name: str = "cpu"):
    """Move a policy, reward model or critic, and use bfloat16 products on a GPU.

    Args:
        model: anything with a ``network``; copies made of it later stay where it is.
        name: as in ``pick``.

    Returns:
        the same model.
    """
    device = pick(name)
    model.network.bf16 = device.startswith("cuda")
    return model.to(device)
