"""Learning a reward model from comparisons."""

from typing import Any, Unpack

from workbench.core.contracts import Method, Trainable
from workbench.feedback.kind import DataSet
from workbench.feedback.kinds.pair_scores import ScoredPairs
from workbench.feedback.kinds.pairs import Pairs
from workbench.loops.model import built, learn
from workbench.loops.run import Run
from workbench.loops.schedule import Schedule, Settings
from workbench.models.heads import ScoreModel

NAME, TRAINS, ASKS, STEPS = "reward", "reward model", (), 200
HOOKS = {"build": False, "reward": False, "margin": False, "after_step": False}


def fit(
    model: Trainable,
    data: DataSet | Pairs,
    method: Method,
    cfg: Any,
    **settings: Unpack[Settings],
) -> Run:
    """Train a reward model on pairs, or on another data set whose batches it fills.

    Args:
        model: what is trained; a stack trains all its seeds at once.
        data: pairs, which are read as ``PairScores``, or any data set.
        method: a module with ``loss(batch, cfg)``.
        cfg: the method's Config.
        settings: the attributes of ``loops.schedule.Schedule``; ``steps`` is required.

    Returns:
        the run; ``run.policy`` is the reward model.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        BadCall: the parts do not fit together; the sentence says which.
    """
    made = ScoredPairs(data) if isinstance(data, Pairs) else data
    return learn(NAME, model, made, method, cfg, Schedule(**settings))


def drive(problem: Any, method: Method, cfg: Any, schedule: Settings) -> Run:
    """Train a method on a problem: see ``core.contracts.Loop``."""
    given = problem.scorer
    default = ScoreModel.tiny if given is None else lambda vocab, seed: given(seed)
    model = built(problem, method, cfg, default)
    return fit(model, problem.data(method), method, cfg, **schedule)
