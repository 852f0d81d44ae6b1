"""Laws of overoptimisation over many runs, and the null that must show nothing."""

import numpy as np
import pandas as pd
import pytest

from workbench.measure.direct_alignment_fit import (
    drop,
    later_fall,
    null_path,
    quadratic_rmse,
    scaling,
)
from workbench.measure.overoptimisation import tilt_curve
from workbench.worlds import solutions

BETAS = (30 * np.geomspace(1, 1 / 600, 41)).tolist()


def law_frame(alpha, beta, start=0.0, last=16.0):
    kl = np.linspace(0.01, last, 30)
    d = np.sqrt(kl)
    return pd.DataFrame({"kl": kl, "gold": start + d * (alpha - beta * np.log(d))})


def test_a_law_is_recovered_with_its_peak():
    """α = 1, β = 2 peaks at d = e^(−1/2), KL = 1/e, inside [0.01, 16]."""
    row = scaling(law_frame(1.0, 2.0, start=-0.5), -0.5).iloc[0]
    assert (row["alpha"], row["beta"]) == pytest.approx((1.0, 2.0))
    assert row["peak_kl"] == pytest.approx(np.exp(-1)) and row["hump"]
    assert row["rmse"] < 1e-12 < row["rmse_quadratic"] and row["n"] == 30
    assert row["alpha_low"] <= 1.0 + 1e-9 and row["alpha_high"] >= 1.0 - 1e-9
    wrong = scaling(law_frame(1.0, 2.0, start=-0.5), 0.0).iloc[0]
    assert wrong["rmse"] > 0.05  # the reference's gold was not subtracted


def test_a_quadratic_in_kl_is_fitted_exactly_by_its_own_rival():
    kl = np.linspace(0, 5, 12)
    frame = pd.DataFrame({"kl": kl, "gold": 3 * kl - 0.5 * kl**2})
    row = scaling(frame, 0.0).iloc[0]
    assert row["rmse_quadratic"] < 1e-12 < row["rmse"]
    # by hand: y = (1, 0) at KL = 1, 2 → exact with two parameters; at one KL twice
    # the values 0 and 2 leave residuals of 1
    assert quadratic_rmse([1.0, 2.0], [1.0, 0.0]) < 1e-12
    assert quadratic_rmse([1.0, 1.0], [0.0, 2.0]) == pytest.approx(1.0)


def test_what_gold_loses_after_its_highest_point():
    assert drop([0.0, 2.0, 1.0], [0.0, 1.0, 3.0]) == 2.0
    assert drop([0.0, 1.0, 2.0], [0.0, 1.0, 3.0]) == 0.0


def test_the_peak_of_a_later_fall_is_chosen_by_the_other_seeds():
    """Seed 0 peaks at step 1, seed 1 at step 2: each is read at the other's peak."""
    rows = [(0, [0.0, 3.0, 1.0, 2.0]), (1, [0.0, 1.0, 4.0, 2.0])]
    frame = pd.DataFrame(
        [(seed, step, g) for seed, run in rows for step, g in enumerate(run)],
        columns=["seed", "step", "gold"],
    )
    assert later_fall(frame).to_dict() == {0: 1.0 - 2.0, 1: 1.0 - 2.0}


def test_noise_without_a_fall_has_no_later_fall():
    """The naive maximum sees a fall in pure noise; the careful one does not."""
    careful, naive = [], []
    for trial in range(100):
        noise = np.random.default_rng(trial).normal(size=(4, 5))
        frame = pd.DataFrame(noise).rename_axis(index="seed", columns="step")
        careful.append(later_fall(frame.stack().rename("gold").reset_index()).mean())
        naive.append((noise.max(1) - noise[:, -1]).mean())
    assert np.mean(naive) > 1.0 and abs(np.mean(careful)) < 0.25


def test_the_gold_path_shows_no_hump_and_a_proxy_path_does(ref, gold, proxy):
    start = solutions.expectation(ref, gold).mean().item()
    path = null_path(ref, gold)
    assert path["gold"].diff().dropna().gt(0).all()
    null = scaling(path, start).iloc[0]
    assert not null["hump"] and null["drop"] == 0.0
    fooled = scaling(tilt_curve(ref, proxy, gold, BETAS), start).iloc[0]
    assert fooled["hump"] and fooled["drop"] > 0.1


def test_groups_are_fitted_apart_and_missing_points_left_out():
    one, other = law_frame(1.0, 0.5), law_frame(2.0, 0.1)
    other.loc[3, "gold"] = np.nan
    frame = pd.concat([one.assign(method="ipo"), other.assign(method="dpo")])
    table = scaling(frame, 0.0, ("method",)).set_index("method")
    assert table["alpha"].to_dict() == pytest.approx({"ipo": 1.0, "dpo": 2.0})
    assert table["n"].to_dict() == {"ipo": 30, "dpo": 29}
    assert list(table.index) == ["ipo", "dpo"]


def test_a_law_that_rises_for_ever_has_no_peak():
    row = scaling(law_frame(1.0, -0.1), 0.0).iloc[0]
    assert np.isnan(row["peak_kl"]) and not row["hump"]
