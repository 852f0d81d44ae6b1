"""Pushes of lists against their formulas, and angles of losses that are one."""

import pytest
import torch

from workbench.core.seeds import generator
from workbench.feedback.kinds.lists import ListLogps
from workbench.measure import list_pushes
from workbench.methods.direct.lists import copg, dpo_rw, infonca, rebel


@pytest.fixture
def lists() -> ListLogps:
    return ListLogps.example(generator(0, "lists"), batch=20)


def test_infonca_pushes_by_the_difference_of_two_softmax(lists):
    found = list_pushes.of_lists(infonca, infonca.Config(1.0, 0.5), lists)
    p, q = (lists.scores / 0.5).softmax(-1), lists.logratio().softmax(-1)
    torch.testing.assert_close(found, p - q)


def test_copg_pushes_by_what_a_response_earns_beyond_the_others(lists):
    found = list_pushes.of_lists(copg, copg.Config(0.5), lists)
    earned = lists.scores - 0.5 * lists.logratio()
    others = (earned.sum(-1, keepdim=True) - earned) / 2
    torch.testing.assert_close(found, earned - others)


def test_one_loss_under_two_names_has_an_angle_of_zero(lists):
    losses = {
        "infonca": (infonca, infonca.Config(1.0, 0.5)),
        "dpo_rw": (dpo_rw, dpo_rw.Config(1.0, 0.5)),
        "copg": (copg, copg.Config(0.5)),
        "rebel": (rebel, rebel.Config(2.0)),
    }
    found = list_pushes.angles(losses, lists)
    assert found.loc["infonca", "dpo_rw"] < 1e-9
    assert found.loc["copg", "rebel"] < 1e-9
    assert found.loc["infonca", "copg"] > 1
