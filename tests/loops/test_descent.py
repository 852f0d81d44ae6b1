"""Step sizes that grow and shrink, and gradients that are cut."""

import pytest
import torch

from workbench.core.errors import BadCall
from workbench.loops.descent import Descent, Part
from workbench.loops.schedule import Schedule
from workbench.loops.session import Session


def test_the_step_size_grows_to_lr_and_then_stays():
    plan = Schedule(steps=6, lr=0.4, warmup=4)
    assert [plan.lr_at(step) for step in range(6)] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
    )


def test_after_the_warm_up_it_falls_to_zero():
    """Half of the four steps that are left are done at step 4."""
    plan = Schedule(steps=6, lr=0.4, warmup=2, decay=True)
    assert plan.lr_at(1) == plan.lr_at(2) == 0.4 and plan.lr_at(4) == pytest.approx(0.2)


def moved(members, clip, scale):
    """Gradients of one step on numbers whose gradients are known: scale·(3, 4)."""
    weights = torch.nn.Parameter(torch.ones(members, 2))
    weights.members = members
    descent = Descent([weights], Schedule(steps=1, clip=clip), members)
    losses = (weights * scale * torch.tensor([3.0, 4.0])).sum(1)
    descent.learn([Part(losses)], members, 0)
    return weights.grad


def test_a_long_gradient_is_cut_and_a_short_one_is_not():
    """(3, 4) has the norm 5; at most 1 leaves (0.6, 0.8)."""
    assert moved(1, 1.0, 1.0)[0].tolist() == pytest.approx([0.6, 0.8], abs=1e-5)
    assert moved(1, 9.0, 1.0)[0].tolist() == [3.0, 4.0]
    assert moved(1, None, 1.0)[0].tolist() == [3.0, 4.0]


def test_every_member_of_a_stack_is_cut_by_itself():
    """Known mistake: one norm of all members, and so seeds that share something."""
    scale = torch.tensor([[1.0], [0.1]])
    both = moved(2, 1.0, scale)
    assert both[0].tolist() == pytest.approx([0.6, 0.8], abs=1e-5)
    assert both[1].tolist() == pytest.approx([0.3, 0.4], abs=1e-5)


def test_the_whole_gradient_is_cut_and_not_that_of_a_part():
    """Two parts of (3, 4) halved: cut to 1 together, and not each."""
    weights = torch.nn.Parameter(torch.ones(1, 2))
    descent = Descent([weights], Schedule(steps=1, clip=1.0), 1)
    sign = torch.tensor([3.0, 4.0])
    descent.learn(
        (Part((weights * sign).sum(1), at=torch.tensor([i])) for i in (0, 1)), 2, 0
    )
    assert weights.grad[0].tolist() == pytest.approx([0.6, 0.8], abs=1e-5)


@pytest.mark.parametrize("wrong", [{"micro_batch": 0}, {"warmup": -1}, {"clip": 0.0}])
def test_a_plan_that_means_nothing_is_refused(wrong):
    with pytest.raises(BadCall, match="at least"):
        Schedule(steps=1, **wrong)


def test_what_is_usual_is_not_in_the_card_of_a_run():
    """A run that was started before these settings existed can be resumed."""
    model = torch.nn.Linear(1, 1)
    model.members = 1
    names = {"micro_batch", "warmup", "clip"}
    assert not names & Session(model, Schedule(steps=1)).config.keys()
    special = Session(model, Schedule(steps=1, warmup=2, clip=1.0)).config
    assert special["warmup"] == 2 and special["clip"] == 1.0
