"""Learning from a fixed data set: pairs, responses, scored responses."""

from workbench.loops.run import Run, describe
from workbench.loops.session import Session


def fit(
    policy, reference, data, method, cfg, *, steps, batch_size=32, lr=1e-3, seed=0,
    measures=(), every=50, out=None, resume=False, decay=False, seeds=None,
) -> Run:  # fmt: skip
    """Train a policy (or a critic) on a data set.

    Args:
        policy: what is trained; a stack trains all its seeds at once.
        reference: π_ref, read once before the first step; None if the data need none.
        data: a data set with ``reference_logps`` and ``batch``; for a stack the rows
            of each member lie side by side.
        method: a module with ``loss(batch, cfg)``.
        cfg: the method's Config.
        steps: optimiser steps.
        batch_size: examples a step and member.
        lr: Adam's step size.
        seed: order of the data; member m uses ``seed + m``.
        measures: called on the policy on a schedule.
        every: steps between measures.
        out: run folder.
        resume: continue the run in ``out``.
        decay: shrink the step size linearly to 0.
        seeds: train so many copies of the policy as one batched model, which costs
            less than one after the other (``benchmarks/speed.py``); ``data`` is then
            a list with a data set for each.

    Returns:
        the run; ``run.policy`` is the policy that was given, trained (with ``seeds`` a
        stack of its copies).

    Raises:
        NonFiniteLoss: a loss is NaN or infinite.
        ValueError: not one data set for each of the ``seeds``.
    """
    if seeds is not None:
        if len(data) != seeds:
            raise ValueError(f"{seeds} seeds need {seeds} data sets, not {len(data)}")
        policy, data = policy.copies(seeds), type(data[0]).cat(data)
    session = Session(
        policy, steps=steps, lr=lr, seed=seed, measures=measures, every=every, out=out,
        resume=resume, decay=decay,
        config=describe(method, cfg) | {"loop": "offline", "batch_size": batch_size},
    )  # fmt: skip
    ref = data.reference_logps(reference)
    for step in session:
        rows = session.draw(step, len(data), batch_size)
        batch = data.batch(policy, rows, ref)
        session.step(method.loss(batch, cfg), data.weight[rows])
    return session.finish()
