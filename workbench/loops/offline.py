"""Learning from a fixed data set: pairs, responses, scored responses, lists …

Adding a kind of feedback changes nothing here: a data set makes the batches.
"""

from collections.abc import Sequence
from typing import Any, Unpack

from workbench.core.contracts import Method, Stackable, Trainable
from workbench.core.errors import BadCall
from workbench.feedback.kind import DataSet, StackedDataSet
from workbench.loops.batches import Batches
from workbench.loops.checks import check_method, check_rows
from workbench.loops.order import used
from workbench.loops.run import Run, describe
from workbench.loops.schedule import Schedule, Settings
from workbench.loops.session import Session

NAME, TRAINS, ASKS, STEPS = "offline", "policy", (), 200
HOOKS = {"implicit_reward": False, "optimum": False, "prepare": False}


def fit(
    policy: Trainable,
    reference: Any,
    data: DataSet | Sequence[DataSet],
    method: Method,
    cfg: Any,
    *,
    seeds: int | None = None,
    **settings: Unpack[Settings],
) -> Run:
    """Train a policy (or a critic) on a data set.

    Args:
        policy: what is trained; a stack trains all its seeds at once.
        reference: π_ref, read once before the first step, where that takes long only
            on the rows of the run's batches; None if the data need none.
        data: a data set; for a stack the rows of each member lie side by side.
        method: a module with ``loss(batch, cfg)``.
        cfg: the method's Config.
        seeds: train so many copies of the policy as one batched model, which costs
            less than one after the other (``benchmarks/speed.py``); ``data`` is then
            a list with a data set for each.
        settings: the attributes of ``loops.schedule.Schedule``; ``steps`` is required.

    Returns:
        the run; ``run.policy`` is the policy that was given, trained (with ``seeds`` a
        stack of its copies).

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        BadCall: the parts do not fit together; the sentence says which.
    """
    if seeds is not None:
        policy, data = _stacked(policy, data, seeds)
    if isinstance(data, Sequence):
        raise BadCall("a list of data sets is for several seeds: give seeds=")
    check_method(method, cfg, reference)
    check_rows(method.card.key, len(data), policy.members)
    plan = Schedule(**settings)
    more = {"loop": NAME, "batch_size": plan.batch_size}
    session = Session(policy, plan, config=describe(method, cfg) | more)
    # of the whole run, also when it is resumed: the same rows are read together
    rows = used(plan.seed, policy.members, plan.steps, len(data), plan.batch_size)
    ref = data.reference_logps(reference, rows)
    batches = Batches(policy, data, ref, method, cfg, plan)
    for step in session:
        batches.learn(session, step)
    return session.finish()


def _stacked(
    policy: Trainable, data: DataSet | Sequence[DataSet], seeds: int
) -> tuple[Trainable, DataSet]:
    """Copies of a policy as one model, and a data set for each below each other."""
    if not isinstance(data, Sequence) or len(data) != seeds:
        found = len(data) if isinstance(data, Sequence) else "one that is no list"
        raise BadCall(f"{seeds} seeds need {seeds} data sets, not {found}")
    if not isinstance(policy, Stackable) or not isinstance(data[0], StackedDataSet):
        what = f"{type(policy).__name__} or {type(data[0]).__name__}"
        raise BadCall(f"{what} cannot be stacked: train one seed after the other")
    return policy.copies(seeds), type(data[0]).cat(data)


def drive(problem: Any, method: Method, cfg: Any, schedule: Settings) -> Run:
    """Train a method on a problem: see ``core.contracts.Loop``."""
    prepared = problem.prepared(method, cfg)
    return fit(
        prepared.policy, prepared.reference, prepared.data, method, cfg, **schedule
    )
