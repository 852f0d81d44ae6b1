"""Learning a reward model from comparisons."""

from workbench.loops.run import Run, describe
from workbench.loops.session import Session


def fit(
    model, pairs, method, cfg, *, steps, batch_size=32, lr=1e-3, seed=0,
    measures=(), every=50, out=None, resume=False, decay=False,
) -> Run:  # fmt: skip
    """Train a reward model on pairs; arguments as in ``offline.fit``.

    Returns:
        the run; ``run.policy`` is the reward model.
    """
    session = Session(
        model, steps=steps, lr=lr, seed=seed, measures=measures, every=every, out=out,
        resume=resume, decay=decay,
        config=describe(method, cfg) | {"loop": "reward", "batch_size": batch_size},
    )  # fmt: skip
    for step in session:
        rows = session.draw(step, len(pairs), batch_size)
        scores = pairs.scores(model, rows)
        session.step(method.loss(scores, cfg), pairs.weight[rows])
    return session.finish()
