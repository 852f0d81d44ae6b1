"""Overoptimisation: gold and proxy reward against √KL, and where gold turns over.

Along π*_β of the proxy, with η = 1/β, d E[gold]/dη = Cov(gold, proxy) under π*_β and
dKL/dη = η Var(proxy), per prompt and on average: gold peaks exactly where the mean
covariance crosses zero.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure.overoptimisation_fit import Fit, fit
from workbench.methods.decoding import best_of_n
from workbench.worlds import solutions

__all__ = [
    "Fit",
    "best_of_n_curve",
    "fit",
    "paths",
    "peak_beta",
    "responses_at",
    "tilt_curve",
]

Table = Float[Tensor, "prompt response"]


def best_of_n_curve(ref: Table, proxy: Table, gold: Table, ns: Sequence[int]):
    """Where best-of-n of the proxy lies, exactly, averaged over prompts.

    Args:
        ref: log π_ref, which the n responses are drawn from.
        proxy: the reward that picks the best of them; ties share.
        gold: the reward that is meant.
        ns: responses drawn.

    Returns:
        DataFrame[n, kl, gold, proxy, bound]: exact KL(π_n‖π_ref) and its bound
        log n − (n − 1)/n in nats.
    """
    import pandas as pd

    ref, rows = ref.double(), []
    for n in ns:
        logps = best_of_n.log_distribution(ref, proxy.double(), n)
        values = (
            solutions.kl(logps, ref),
            solutions.expectation(logps, gold.double()),
            solutions.expectation(logps, proxy.double()),
        )
        means = (value.mean().item() for value in values)
        rows.append((n, *means, best_of_n.kl_bound(n)))
    return pd.DataFrame(rows, columns=["n", "kl", "gold", "proxy", "bound"])


def _covariance(ref: Table, proxy: Table, gold: Table, beta: float) -> float:
    best = solutions.optimal_policy(ref, proxy, beta)
    return solutions.covariance(best, gold, proxy).mean().item()


def peak_beta(
    ref: Table,
    proxy: Table,
    gold: Table,
    *,
    high: float = 100.0,
    low: float = 0.01,
) -> float | None:
    """The β below which optimising the proxy further lowers gold.

    Going down from ``high`` to ``low``, the first β where the mean covariance of gold
    and proxy under π*_β turns from positive to negative, by bisection of log β.

    Args:
        ref: log π_ref.
        proxy: the reward that is optimised.
        gold: the reward that is meant.
        high: reward units per nat to start from, light optimisation.
        low: where the search ends.

    Returns:
        β in reward units per nat; None if gold never turns over in between.
    """
    ref, proxy, gold = ref.double(), proxy.double(), gold.double()
    spread = solutions.covariance(ref, proxy, proxy).mean().sqrt()
    spread = spread * solutions.covariance(ref, gold, gold).mean().sqrt()
    noise = -1e-9 * spread.item()  # π*_β near one response: the rest is rounding
    steps = torch.linspace(0, 1, 161, dtype=torch.float64)
    grid = (high * (low / high) ** steps).tolist()
    signs = [_covariance(ref, proxy, gold, beta) for beta in grid]
    for i in range(1, len(grid)):
        if signs[i - 1] > 0 and signs[i] < noise:
            above, below = grid[i - 1], grid[i]
            for _ in range(60):
                middle = (above * below) ** 0.5
                rising = _covariance(ref, proxy, gold, middle) > 0
                above, below = (middle, below) if rising else (above, middle)
            return (above * below) ** 0.5
    return None


def tilt_curve(ref: Table, proxy: Table, gold: Table, betas: Sequence[float]):
    """Where π*_β of the proxy lies for each β: ``exact.frontier``, in float64.

    Returns:
        DataFrame[beta, kl, gold, proxy, covariance].
    """
    return solutions.frontier(ref.double(), proxy.double(), gold.double(), betas)


def at_kl(ref: Table, proxy: Table, values: Mapping[str, Table], kls: Sequence[float]):
    """Means of several rewards along π*_β of a proxy, where its KL has given values.

    Args:
        ref: log π_ref.
        proxy: the reward that is optimised.
        values: name to what is averaged: gold, the lengths of the responses.
        kls: nats, up to what the path reaches; between its points a line is drawn.

    Returns:
        DataFrame[kl, *values], means over prompts.

    Raises:
        ValueError: the path does not reach the last KL.
    """
    import numpy as np
    import pandas as pd

    kl, means = [], {name: [] for name in values}
    for beta in [1e6, *np.geomspace(100, 0.002, 150).tolist()]:
        policy = solutions.optimal_policy(ref.double(), proxy.double(), beta)
        kl.append(solutions.kl(policy, ref.double()).mean().item())
        for name, table in values.items():
            mean = solutions.expectation(policy, table.double())
            means[name].append(mean.mean().item())
    if kl[-1] < max(kls):
        raise ValueError(f"the path ends at {kl[-1]:.2f} nats")
    read = {name: np.interp(kls, kl, path) for name, path in means.items()}
    return pd.DataFrame({"kl": [float(at) for at in kls], **read})


def responses_at(world, ref: Table, proxy: Table, places: Mapping[str, float]):
    """What π*_β of the proxy writes at each of several β, the likeliest first.

    Args:
        world: an enumerable world; its gold reward stands beside the proxy.
        ref: log π_ref.
        proxy: the reward that is optimised.
        places: a name for each β, such as {"at the peak": 0.8}.

    Returns:
        DataFrame[place, prompt, name, probability, proxy, gold], every response of
        every prompt once per place; name is the response's text.
    """
    import pandas as pd

    texts = [world.text(i) for i in range(world.n_responses)]
    frames = []
    for place, beta in places.items():
        best = solutions.optimal_policy(ref.double(), proxy.double(), beta).exp()
        for x, prompt in enumerate(world.prompts):
            columns = {"probability": best[x], "proxy": proxy[x], "gold": world.gold[x]}
            frame = pd.DataFrame({name: v.tolist() for name, v in columns.items()})
            frame.insert(0, "name", texts)
            frame.insert(0, "prompt", prompt)
            frame.insert(0, "place", place)
            frames.append(frame.sort_values("probability", ascending=False))
    return pd.concat(frames, ignore_index=True)


def paths(
    ref: Table,
    proxy: Table,
    gold: Table,
    *,
    ns: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096),
    betas: Sequence[float] = (),
    runs: dict | None = None,
):
    """Every curve of an overoptimisation figure in one frame.

    Args:
        ref: log π_ref.
        proxy: the reward that is optimised.
        gold: the reward that is meant.
        ns: points of the best-of-n curve.
        betas: points of the π*_β curve; 61 from 30 to 0.03 if empty.
        runs: name to a frame with columns kl, gold and proxy (a run's metrics).

    Returns:
        DataFrame[curve, kl, sqrt_kl, gold, proxy]; curves ``best of n``,
        ``optimum`` (π*_β) and the names of the runs.
    """
    import pandas as pd

    betas = betas or (30 * 0.001 ** torch.linspace(0, 1, 61).double()).tolist()
    parts = {
        "best of n": best_of_n_curve(ref, proxy, gold, ns),
        "optimum": tilt_curve(ref, proxy, gold, betas),
        **(runs or {}),
    }
    frames = []
    for name, frame in parts.items():
        part = frame[["kl", "gold", "proxy"]].astype(float)
        part.insert(0, "curve", name)
        part.insert(2, "sqrt_kl", part["kl"].clip(lower=0) ** 0.5)
        frames.append(part)
    return pd.concat(frames, ignore_index=True)
