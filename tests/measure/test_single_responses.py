"""Thumbs of infinitely many readers: pushes against their formulas, and the rest."""

import torch

from workbench.measure import single_responses
from workbench.methods.direct.unpaired import bco, kto
from workbench.worlds import solutions

GRID = torch.linspace(-4, 4, 17).double()
BETA = 0.5


def test_the_push_of_bco_is_that_of_a_classifier():
    found = single_responses.push(bco, bco.Config(beta=BETA), GRID, 0.6, mean=0.3)
    by_hand = BETA * (0.6 - (BETA * (GRID - 0.3)).sigmoid())
    torch.testing.assert_close(found, by_hand)


def test_the_push_of_kto_has_the_sign_of_the_majority():
    for share in (0.1, 0.4, 0.6, 0.9):
        cfg = kto.Config(beta=BETA)
        found = single_responses.push(kto, cfg, GRID, share, point=0.3)
        s = (BETA * (GRID - 0.3)).sigmoid()
        torch.testing.assert_close(found, BETA * (2 * share - 1) * s * (1 - s))


def test_each_response_may_have_its_own_share():
    shares = torch.linspace(0.1, 0.9, len(GRID)).double()
    every = single_responses.push(bco, bco.Config(), GRID, shares)
    one = single_responses.push(bco, bco.Config(), GRID[3:4], float(shares[3]))
    torch.testing.assert_close(every[3:4], one)


def test_bco_rests_at_the_optimum_if_the_bar_is_the_mean_reward():
    ref = torch.tensor([0.5, 0.3, 0.15, 0.05]).double().log()
    reward = torch.tensor([0.2, 1.0, -0.7, 1.5]).double()
    shares = (reward - ref.exp() @ reward).sigmoid()
    found = single_responses.descend(bco, bco.Config(beta=1.0), ref, shares)
    optimum = solutions.optimal_policy(ref, reward, 1.0)
    torch.testing.assert_close(found, optimum, atol=1e-4, rtol=0)


def test_without_its_shift_it_does_not():
    ref = torch.tensor([0.5, 0.3, 0.15, 0.05]).double().log()
    reward = torch.tensor([0.2, 1.0, -0.7, 1.5]).double()
    shares = (reward - ref.exp() @ reward).sigmoid()
    cfg = bco.Config(beta=1.0, centred=False)
    found = single_responses.descend(bco, cfg, ref, shares)
    optimum = solutions.optimal_policy(ref, reward, 1.0)
    assert solutions.kl(found, optimum) > 1e-3


def test_kto_makes_the_majority_sure_whatever_the_reference():
    ref = torch.tensor([0.1, 0.9]).double().log()
    seen = torch.tensor([0.5, 0.5])
    shares = torch.tensor([0.6, 0.4]).double()
    found = single_responses.descend(
        kto, kto.Config(beta=1.0), ref, shares, shown=seen, rate=20.0
    )
    assert found[0].exp() > 0.9


def test_a_table_has_the_pushes_of_each_share():
    table = single_responses.of_grid(bco, bco.Config(beta=BETA), (0.2, 0.9), GRID)
    one = table[table.share == 0.9]
    assert len(table) == 2 * len(GRID) and set(table.method) == {"bco"}
    found = single_responses.push(bco, bco.Config(beta=BETA), GRID, 0.9)
    torch.testing.assert_close(torch.tensor(one.push.to_numpy()), found)
