"""Learning the values of prefixes, or of tokens, from responses with rewards.

The policy stays as it is; a critic learns what its tokens are worth, and steers it
afterwards through the method's hook ``decode``.
"""

from typing import Any, Unpack

from workbench.core.contracts import Method, Trainable
from workbench.feedback.kind import DataSet
from workbench.loops.model import built, learn
from workbench.loops.run import Run
from workbench.loops.schedule import Schedule, Settings
from workbench.models.heads import ValueModel

NAME, TRAINS, ASKS, STEPS = "values", "critic", (), 300
HOOKS = {"build": False, "decode": True, "after_step": False}


def fit(
    critic: Trainable,
    data: DataSet,
    method: Method,
    cfg: Any,
    **settings: Unpack[Settings],
) -> Run:
    """Train a critic on a data set whose batches it fills.

    Args:
        critic: what is trained; a stack trains all its seeds at once.
        data: responses with their rewards.
        method: a module with ``loss(batch, cfg)``, and perhaps ``after_step``.
        cfg: the method's Config.
        settings: the attributes of ``loops.schedule.Schedule``; ``steps`` is required.

    Returns:
        the run; ``run.policy`` is the critic.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        BadCall: the parts do not fit together; the sentence says which.
    """
    return learn(NAME, critic, data, method, cfg, Schedule(**settings))


def drive(problem: Any, method: Method, cfg: Any, schedule: Settings) -> Run:
    """Train a method on a problem: see ``core.contracts.Loop``."""
    critic = built(problem, method, cfg, ValueModel.tiny)
    return fit(critic, problem.data(method), method, cfg, **schedule)
