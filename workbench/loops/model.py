"""Learning a model beside the policy from a data set: rewards, values."""

from typing import Any

from workbench.core.contracts import Method, Trainable
from workbench.core.errors import BadCall
from workbench.feedback.kind import DataSet
from workbench.loops.batches import Batches
from workbench.loops.checks import check_method, check_rows, hook
from workbench.loops.run import Run, describe
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session


def learn(
    name: str, model: Trainable, data: DataSet, method: Method, cfg: Any, plan: Schedule
) -> Run:
    """Train a model on a data set whose batches it fills.

    Args:
        name: of the loop, for run.json.
        model: what is trained; a stack trains all its seeds at once.
        data: a data set; for a stack the rows of each member lie side by side.
        method: a module with ``loss(batch, cfg)``, and perhaps ``after_step``.
        cfg: the method's Config.
        plan: steps, step size, seed, measures, folder.

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        BadCall: the parts do not fit together; the sentence says which.
    """
    check_method(method, cfg, model)
    check_rows(method.card.key, len(data), model.members)
    after_step = hook(method, "after_step")
    more = {"loop": name, "batch_size": plan.batch_size}
    session = Session(model, plan, config=describe(method, cfg) | more)
    batches = Batches(model, data, None, method, cfg, plan)
    for step in session:
        batches.learn(session, step)
        if after_step is not None:
            after_step(model, cfg)
    return session.finish()


def built(problem: Any, method: Method, cfg: Any, default: Any) -> Any:
    """A fresh model for each seed of a problem, as a stack where there are several.

    Args:
        problem: for its vocabulary, seeds and device.
        method: its hook ``build`` makes a model, if it has one.
        cfg: the method's Config.
        default: ``(vocab, seed) -> model``, where it has none.
    """
    build = hook(method, "build")
    made = [
        default(problem.vocab, seed=seed)
        if build is None
        else build(problem.vocab, cfg, seed)
        for seed in problem.seeds
    ]
    if len(made) == 1:
        return problem.place(made[0])
    stack = getattr(type(made[0]), "stack", None)
    if stack is None:
        raise BadCall(f"{method.card.key} trains one seed at a time")
    return problem.place(stack(made))
