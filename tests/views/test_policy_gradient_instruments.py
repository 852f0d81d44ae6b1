"""The instruments of the policy-gradient lessons draw what the library computes."""

import pytest

from workbench.views.instruments.clip_explorer import CLIPS, clip_explorer, clip_figure
from workbench.views.instruments.group_advantages import (
    LAST,
    advantages_figure,
    group_advantages,
)


@pytest.mark.parametrize("last", LAST)
def test_advantages_of_a_group_add_up_to_zero(last):
    frame = advantages_figure([1.0, 0.0, -1.0, last]).data
    sums = frame.groupby("method").A.sum()
    assert sums.abs().max() < 1e-9
    # (k − 1)/√k bounds what a division by the deviation leaves
    assert frame[frame.method == "GRPO"].A.abs().max() <= 1.5


def test_the_group_starts_where_it_is_told():
    shown = group_advantages([0.0, 1.0], last=3.0, live=False).start
    assert "last reward of 3" in shown.caption
    assert "3.00 for RLOO" not in shown.caption  # 3 minus the mean of 0 and 1
    assert "2.50 for RLOO" in shown.caption


@pytest.mark.parametrize("clip", CLIPS)
def test_the_gain_is_flat_on_one_side_only(clip):
    frame = clip_figure(clip).data.set_index("ratio")
    praised, punished = frame["gain, A = +1"], frame["gain, A = -1"]
    assert praised.max() == pytest.approx(1 + clip)
    assert praised.iloc[0] == pytest.approx(0.4)  # moved the wrong way: full gain
    assert punished.max() == pytest.approx(clip - 1)
    assert punished.iloc[-1] == pytest.approx(-1.6)


def test_the_clip_starts_where_it_is_told():
    assert "ε = 0.3" in clip_explorer(0.3, live=False).start.caption
