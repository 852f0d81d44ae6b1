"""The estimate of the time that is left."""

import pytest

from workbench.runner import estimate, speed


def test_before_anything_is_done_the_guess_counts():
    assert estimate.left(guess=60.0, spent=0.0, done=0.0) == 60


def test_at_its_own_pace_a_notebook_is_believed_more_and_more():
    """Half the cells in 50 s against a guess of 60: ½·60 + ½·100 − 50 = 30."""
    assert estimate.left(guess=60.0, spent=50.0, done=0.5) == pytest.approx(30)
    assert estimate.left(guess=60.0, spent=90.0, done=0.9) == pytest.approx(6)


@pytest.mark.parametrize("late", [2, 10, 100])
def test_a_late_notebook_never_claims_to_be_nearly_done(late):
    """Stuck in one cell, with a guess that is long over."""
    estimates = [estimate.left(10.0, 10.0 * k, 0.1) for k in range(late, late + 5)]
    assert min(estimates) >= 0.5 * 0.9 * 10 * late, estimates
    assert estimates == sorted(estimates)


def test_finished_notebooks_stretch_the_guesses_for_the_others():
    stretch = estimate.Stretch()
    assert stretch.factor == 1
    stretch.add(taken=90.0, guess=30.0)
    stretch.add(taken=30.0, guess=30.0)
    assert stretch.factor == 2


def test_the_series_takes_its_longest_part_or_its_share_of_all():
    assert estimate.series([10.0], [20.0, 30.0], jobs=2) == 30
    assert estimate.series([10.0, 10.0], [40.0, 60.0], jobs=2) == 60
    assert estimate.series([], [], jobs=2) == 0


def test_the_speed_is_measured_within_a_second_or_a_round():
    found = speed.measure(0.0)
    assert found.wall > 0
    assert found.cpu > 0
    assert found.wall >= 0.5 * found.cpu, (
        "the clock cannot run far behind the processor"
    )
