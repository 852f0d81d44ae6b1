"""How many steps a training command takes, and how large they are.

The step size of a checkpoint falls with its number of parameters N as N^(-2/3), from
1e-5 at 100 million, and is not below 2e-7. Published runs lie on that line within a
factor of two: DPO's own, 1e-6 at 2.8 and 6.9 billion (Rafailov et al. 2305.18290);
Zephyr, 5e-7 at 7 billion (Tunstall et al. 2310.16944); Tülu 3, 5e-7 at 8 and 2e-7 at 70
billion (Lambert et al. 2411.15124). An adapter takes ten times as much, as in
Zephyr's recipe with QLoRA (5e-6 at 7 billion) and in Schulman et al., *LoRA without
regret* (2025). The rule is for losses of log-ratios to a model that writes already;
supervised fine-tuning and reward models keep 1e-5, and 1e-4 with an adapter.
"""

from types import ModuleType
from typing import Any

from workbench.core import processes
from workbench.core.errors import BadOption
from workbench.experiment.training_settings import Settings
from workbench.feedback.kind import reads
from workbench.feedback.kinds.responses import ResponseLogps
from workbench.loops.checks import hook

CHECKPOINT, ADAPTER = 1e-5, 10  # step size at most, and the factor of an adapter
SMALL, LEAST = 1e8, 2e-7  # parameters up to which it is that, and the least


def starts_from_reference(method: ModuleType) -> bool:
    """Whether a method needs a policy that has learned to write already.

    Supervised fine-tuning teaches it, and a reward model is none. A method without a
    reference, such as SimPO, starts from a policy that writes as well.
    """
    if "reference" in method.card.needs:
        return True
    return method.card.loop.TRAINS == "policy" and reads(method) is not ResponseLogps


def lr(method: ModuleType, settings: Settings, parameters: int) -> float:
    """Adam's step size: the user's, or one by the size of what is trained.

    Args:
        method: the method's module.
        settings: the command.
        parameters: of the checkpoint, without an adapter.
    """
    if settings.lr is not None:
        return settings.lr
    if settings.model is None:
        return 1e-3 * 64 / max(64, settings.width)
    size = max(SMALL, parameters) if starts_from_reference(method) else SMALL
    whole = max(LEAST, CHECKPOINT * (SMALL / size) ** (2 / 3))
    return whole if settings.lora is None else ADAPTER * whole


def steps(method: ModuleType, cfg: Any, problem: Any, settings: Settings) -> int:
    """Optimiser steps of one run, on a problem with one seed.

    ``epochs`` are passes over a data set here; a loop that writes its own responses
    goes over each batch of them so often, and its number of steps is another matter.
    """
    loop = method.card.loop
    if settings.epochs is None or loop.ASKS:
        return loop.STEPS if settings.steps is None else settings.steps
    if hook(method, "prepare") is not None:
        rows = len(problem.prepared(method, cfg).data)
    else:
        rows = len(problem.labels[0].data(reads(method)))
    return settings.epochs * max(1, rows // settings.batch_size)


def check(method: ModuleType, settings: Settings) -> None:
    """Refuse options that a method's loop has no use for, before anything is read.

    Raises:
        BadOption: with the reason.
    """
    key, loop = method.card.key, method.card.loop
    if loop.ASKS and settings.micro_batch is not None:
        raise BadOption(
            f"--micro-batch splits a batch of a data set; {key} learns from responses "
            "that it writes itself, and a smaller --batch-size needs less memory"
        )
    if loop.ASKS and processes.count() > 1:
        raise BadOption(
            f"several processes share the batches of a data set; {key} learns from "
            "responses that it writes itself, in one process"
        )
    if settings.batch_size < processes.count():
        raise BadOption(
            f"--batch-size {settings.batch_size} leaves nothing for some of "
            f"{processes.count()} processes"
        )
    if not loop.ASKS and settings.epochs is not None and settings.steps is not None:
        raise BadOption(
            f"--epochs are passes over the data set of {key}, and --steps are steps: "
            "give one of them"
        )
