"""An interval that only touches the claimed range decides nothing."""

import pytest

from workbench.teach.judging import CONTRADICTED, REPRODUCED, UNDECIDED, Side, judge

SIDE = Side.of((1.0, 2.0))


@pytest.mark.parametrize("interval", [(0.0, 1.0), (2.0, 3.0)])
def test_one_shared_point_is_neither(interval):
    assert judge(*interval, SIDE) == UNDECIDED


@pytest.mark.parametrize("interval", [(0.0, 0.999), (2.001, 3.0)])
def test_no_shared_point_contradicts(interval):
    assert judge(*interval, SIDE) == CONTRADICTED


@pytest.mark.parametrize("interval", [(1.0, 2.0), (1.0, 1.5), (1.5, 2.0)])
def test_the_ends_belong_to_the_range(interval):
    assert judge(*interval, SIDE) == REPRODUCED
