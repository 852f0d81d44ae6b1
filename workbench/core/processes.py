"""Several processes that train one model together, as a launcher starts them.

``accelerate launch --multi_gpu --num_processes 2 -m workbench train …`` (or torchrun)
starts the same command several times, and says in the environment which one each is.
Every process reads everything and takes its share of each batch; sums over all of them
go through accelerate. Without a launcher there is one process, and nothing is imported.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from workbench.core.errors import BadOption

_TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")


def count() -> int:
    """How many processes train together."""
    launched = all(name in os.environ for name in _TOLD)
    return int(os.environ["WORLD_SIZE"]) if launched else 1


def number() -> int:
    """Which of them this one is, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def is_main() -> bool:
    """Whether this process writes, prints and draws."""
    return number() == 0


@contextmanager
def together(device: str) -> Iterator[None]:
    """Have the processes know each other, and part in good order.

    Args:
        device: cpu, or cuda for a GPU for each.

    Raises:
        BadOption: one GPU is named for all.
    """
    if count() == 1:
        yield
        return
    if ":" in device:
        raise BadOption(f"--device {device} is one GPU; several processes take cuda")
    state = _state(device == "cpu")
    if not is_main():
        os.environ["WORKBENCH_PROGRESS"] = "0"
    yield
    state.wait_for_everyone()
    state.destroy_process_group()


def wait() -> None:
    """Go on when every process has come here."""
    if count() > 1:
        _state().wait_for_everyone()


def total(tensor: Tensor) -> Tensor:
    """A tensor's sum over all processes, where it was."""
    if count() == 1:
        return tensor
    from accelerate.utils import reduce

    made: Any = reduce(tensor.to(_state().device), "sum")
    return made.to(tensor.device)


def add_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace gradients by their sums; one that a process lacks is 0 there."""
    if count() == 1:
        return
    for each in parameters:
        own = torch.zeros_like(each) if each.grad is None else each.grad
        each.grad = total(own)


def _state(cpu: bool = False) -> Any:
    """accelerate's; what the first call says of the device holds for all."""
    from accelerate import PartialState

    return PartialState(cpu=True) if cpu else PartialState()
