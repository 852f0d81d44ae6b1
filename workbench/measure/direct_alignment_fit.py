"""Do runs of direct alignment overoptimise, and by which law? (2406.02900)

Gold against d = √KL(π‖π_ref) over many runs and checkpoints, fitted by Gao et al.'s
R = d (α − β log d) and, beside it, by a quadratic in KL with as many parameters. β is
the law's coefficient, no KL weight. KL is exact or estimated from the policy's own
samples, never on the data.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.measure.overoptimisation_fit import fit, numbers
from workbench.worlds import solutions


def _rmse(residual: Tensor) -> float:
    return residual.square().mean().sqrt().item()


def quadratic_rmse(kl, gain) -> float:
    """Root mean squared residual of gain = a·KL + b·KL², fitted by least squares.

    Args:
        kl: nats per sequence.
        gain: gold minus the reference's gold, reward units.
    """
    kl, gain = numbers(kl), numbers(gain)
    x = torch.stack([kl, kl**2], dim=-1)
    weights = torch.linalg.lstsq(x, gain, driver="gelsd").solution
    return _rmse(gain - x @ weights)


def drop(kl, gold) -> float:
    """Highest gold minus gold at the largest KL, reward units; 0: gold never falls.

    With noisy points it is above 0 even where nothing falls; read it beside its value
    on the exact path of the gold reward, and over seeds.
    """
    kl, gold = numbers(kl), numbers(gold)
    return (gold.max() - gold[kl.argmax()]).item()


def later_fall(frame):
    """What gold loses from its peak to the end, the peak chosen by the OTHER seeds.

    The highest of many noisy values lies above the last one even where nothing falls.
    A step that other runs have chosen does not know this run's noise: without a fall
    its mean is zero or below.

    Args:
        frame: DataFrame[seed, step, gold], runs with the same checkpoints.

    Returns:
        Series by seed, reward units: gold at the step where the mean gold of the other
        seeds is highest, minus gold at the last step.
    """
    import pandas as pd

    table = frame.pivot(index="step", columns="seed", values="gold")
    tops = {seed: table.drop(columns=seed).mean(axis=1).idxmax() for seed in table}
    lost = {
        seed: table.loc[at, seed] - table[seed].iloc[-1] for seed, at in tops.items()
    }
    return pd.Series(lost, name="fall").rename_axis("seed")


def scaling(frame, start: float, by: Sequence[str] = ()):
    """One fitted law per group of points.

    Args:
        frame: DataFrame[kl, gold, …], one row per run and checkpoint (metrics of many
            runs below each other, with columns such as method, beta, seed, step).
        start: gold reward of the reference, reward units.
        by: columns that make the groups, such as ("method", "seed"); runs of different
            β belong into one group.

    Returns:
        DataFrame[*by, alpha, beta, alpha_low, alpha_high, beta_low, beta_high, r2,
        rmse, rmse_quadratic, peak_kl, hump, drop, n]: the law's coefficients with 95 %
        intervals, root mean squared residuals of law and quadratic (reward units),
        KL of the law's peak (nats; NaN if it rises for ever), whether that peak lies
        inside the data, and what gold loses after its highest point.
    """
    import pandas as pd

    columns, rows = list(by), []
    groups = frame.groupby(columns, sort=False) if columns else [((), frame)]
    for key, group in groups:
        points = group[["kl", "gold"]].dropna()
        d = numbers(points["kl"].clip(lower=0)).sqrt()
        gain = numbers(points["gold"]) - start
        law = fit(d, gain, "rl")
        bounds = {
            f"{name}_{end}": value
            for name, ends in law.intervals.items()
            for end, value in zip(("low", "high"), ends, strict=True)
        }
        rows.append(
            dict(zip(columns, key, strict=True))
            | {"alpha": law.alpha, "beta": law.beta, **bounds, "r2": law.r2}
            | {
                "rmse": _rmse(gain - law(d)),
                "rmse_quadratic": quadratic_rmse(d**2, gain),
                "peak_kl": law.peak[0] ** 2 if law.peak else float("nan"),
                "hump": law.hump,
                "drop": drop(points["kl"], points["gold"]),
                "n": len(points),
            }
        )
    return pd.DataFrame(rows)


def null_path(
    ref: Float[Tensor, "prompt response"],
    gold: Float[Tensor, "prompt response"],
    betas: Sequence[float] = (),
):
    """The null case of the fit: π*_β of the GOLD reward itself, where gold cannot fall.

    Put it through ``scaling``: a hump or a drop found there is an artefact of the fit.

    Args:
        ref: log π_ref.
        gold: reward units.
        betas: reward units per nat; 41 from 30 to 0.1 if empty.

    Returns:
        DataFrame[beta, kl, gold], the reference (β = ∞) first.
    """
    import pandas as pd

    ref, gold = ref.detach().double(), gold.double()
    betas = betas or (30 * (1 / 300) ** torch.linspace(0, 1, 41).double()).tolist()
    table = solutions.frontier(ref, gold, gold, betas)[["beta", "kl", "gold"]]
    first = solutions.expectation(ref, gold).mean().item()
    start = pd.DataFrame({"beta": [float("inf")], "kl": [0.0], "gold": [first]})
    return pd.concat([start, table], ignore_index=True)
