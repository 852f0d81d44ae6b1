"""The influence explorer: steps of DPO, and a chosen review that may lose."""

import pytest
import torch

from workbench.feedback.kinds.pairs import PairLogps
from workbench.methods.direct.links import dpo
from workbench.views.instruments import influence_explorer
from workbench.views.instruments.influence_explorer import pair_walk

ROWS = {"dull": (-1.0, 0.0), "bad": (-1.2, -0.3), "good": (1.0, 0.0), "fun": (0.9, 0.1)}
W = torch.tensor(list(ROWS.values()), dtype=torch.float64)


def test_a_step_is_one_of_dpo():
    hidden = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    logps, mask = (W @ hidden).log_softmax(-1)[:, None], torch.ones(1, 1).bool()
    start = logps[:1].detach()
    pair = PairLogps(logps[:1], logps[1:2], start, start, mask, mask)
    dpo.loss(pair, dpo.Config(beta=1.0)).sum().backward()
    after = (W @ -hidden.grad).softmax(-1)
    assert torch.allclose(pair_walk(W, 1)[1], after)


def test_the_chosen_falls_with_the_shared_vector_and_rises_with_the_table():
    shared, table = pair_walk(W), pair_walk(torch.eye(4).double())
    assert shared[-1, 0] < 0.25 < table[-1, 0]
    assert torch.allclose(shared.sum(-1), torch.ones(41).double())


def test_a_rejected_review_that_is_far_away_does_not_lower_the_chosen():
    explorer = influence_explorer(ROWS, live=True)
    assert "-0.17" in explorer.start.caption
    explorer.widgets["shade"].value = -2.0
    assert explorer.last_error is None
    assert "dull is +" in explorer.draw(shade=-2.0).caption


def test_the_start_is_the_given_row():
    explorer = influence_explorer(ROWS, live=False)
    lines = explorer.start.panels.charts[0].layers
    assert lines[0].y == pytest.approx(pair_walk(W)[:, 0].tolist())
