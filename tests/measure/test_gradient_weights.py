"""Pushes by autograd against the analytic weights and against hand numbers."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import PairLogps, Pairs, sample_pairs
from workbench.measure.gradient_weights import of_grid, of_pairs, pushes
from workbench.methods.direct.links import (
    apo_down,
    discopop,
    dpo,
    exo_pref,
    hinge,
    ipo,
    slic,
)
from workbench.methods.direct.noise import cdpo, rdpo
from workbench.models.policy import TabularPolicy

F64 = torch.float64
NAMES = ["chosen_logratio", "rejected_logratio", "margin"]
LINKS = [dpo, ipo, hinge, exo_pref, discopop, cdpo, rdpo]


@pytest.fixture(scope="module")
def pairs(world, ref):
    return sample_pairs(world, ref, 60, Annotator(), generator(0, "pairs"))


@pytest.mark.parametrize("method", LINKS, ids=lambda m: m.card.key)
def test_pushes_of_a_link_are_its_weight_with_both_signs(method):
    table = of_grid(method, method.Config(), torch.linspace(-9, 9, 40), -1.5)
    margin = torch.tensor(table.margin, dtype=F64)
    weight = method.weight(margin, method.Config()).tolist()
    assert table.push_chosen.tolist() == pytest.approx(weight, abs=1e-12)
    assert table.push_rejected.tolist() == pytest.approx(
        [-w for w in weight], abs=1e-12
    )
    assert table.loss.tolist() == pytest.approx(
        method.link(margin, method.Config()).tolist()
    )


def test_one_row_by_hand():
    """d = 2 and −1/2, β = 0.4: M = 1, L = log(1 + e^−1), push 0.4/(1 + e)."""
    row = of_grid(dpo, dpo.Config(beta=0.4), 2.0, -0.5).iloc[0]
    push = 0.4 / (1 + math.e)
    expected = [2.0, -0.5, 2.5, math.log1p(math.exp(-1)), push, -push]
    assert row.tolist() == pytest.approx(expected)
    assert row.index.tolist() == [*NAMES, "loss", "push_chosen", "push_rejected"]


def test_a_column_and_a_row_give_a_table_row_by_row():
    table = of_grid(dpo, dpo.Config(), torch.tensor([[1.0], [2.0]]), [0.0, -1.0, -3.0])
    assert table.chosen_logratio.tolist() == [1, 1, 1, 2, 2, 2]
    assert table.rejected_logratio.tolist() == [0, -1, -3] * 2
    assert table.margin.tolist() == [1, 2, 4, 2, 3, 5]


def test_a_loss_without_a_reference_reads_reference_plus_log_ratio():
    """log π(y_c) = −3 + 1, log π(y_r) = −2 − 0.5: δ = 1.5 is missed by 1."""
    cfg = slic.Config(delta=1.5, lam=0.25)
    row = of_grid(slic, cfg, 1.0, -0.5, ref=(-3.0, -2.0)).iloc[0]
    assert row.tolist() == pytest.approx([1.0, -0.5, 1.5, 1 + 0.25 * 2, 1.25, -1.0])


def test_two_responses_may_be_pushed_the_same_way():
    """APO-down at s_c = 0.1 and s_r = −0.4: σ′(0.5) − σ′(0.1) < 0 on the chosen."""
    row = of_grid(apo_down, apo_down.Config(beta=0.1), 1.0, -4.0).iloc[0]
    assert row.push_chosen < -1e-3 and row.push_rejected < -1e-3


def test_a_probability_above_1_is_refused():
    with pytest.raises(ValueError, match="at most 0"):
        of_grid(dpo, dpo.Config(), 1.0, 0.0, ref=-0.5)


def test_a_loss_that_reads_one_response_does_not_push_the_other():
    method = SimpleNamespace(loss=lambda batch, cfg: -2 * batch.chosen.logps())
    row = of_grid(method, None, 1.0, 0.0).iloc[0]
    assert (row.push_chosen, row.push_rejected) == (2.0, 0.0)


def several_tokens():
    """Two pairs of responses of 1 to 3 tokens; numbers outside the masks are wild."""
    return PairLogps.example(generator(3, "pull"), batch=2, time=5)


@pytest.mark.parametrize("method", [dpo, ipo], ids=lambda m: m.card.key)
def test_a_sum_loss_of_several_tokens_has_the_weight_of_its_margin(method):
    batch = several_tokens()
    values, up, down = pushes(method, batch, method.Config())
    weight = method.weight(batch.margin(), method.Config())
    assert_close(values, method.loss(batch, method.Config()))
    assert_close(up, weight)
    assert_close(down, -weight)


def test_a_loss_over_token_means_pushes_the_longer_response_less():
    """A nat on log π(y) is 1/|y| nats on the mean."""
    batch, cfg = several_tokens(), ipo.Config(reduce="mean")
    _, up, down = pushes(ipo, batch, cfg)
    weight = ipo.weight(batch.margin("mean"), cfg)
    assert_close(up, weight / batch.chosen_mask.sum(-1))
    assert_close(down, -weight / batch.rejected_mask.sum(-1))


def test_a_push_is_the_loss_lost_by_a_nat_spread_over_the_response():
    batch, step = several_tokens(), 1e-6
    cfg = ipo.Config(reduce="mean")
    spread = batch.chosen_mask / batch.chosen_mask.sum(-1, keepdim=True)
    moved = PairLogps(
        batch.policy_chosen + step * spread,
        batch.policy_rejected,
        batch.ref_chosen,
        batch.ref_rejected,
        batch.chosen_mask,
        batch.rejected_mask,
    )
    lost = (ipo.loss(batch, cfg) - ipo.loss(moved, cfg)) / step
    assert_close(pushes(ipo, batch, cfg)[1], lost, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [7, None])
def test_pairs_of_a_policy_get_the_weight_of_their_margin(
    world, ref, other, pairs, chunk
):
    cached = pairs.reference_logps(TabularPolicy(world, ref))
    policy = TabularPolicy(world, other)
    table = of_pairs(dpo, dpo.Config(beta=0.7), policy, pairs, cached, chunk=chunk)
    gap = other - ref
    chosen, rejected = pairs.chosen, pairs.rejected
    margin = gap[chosen.prompt, chosen.response]
    margin = margin - gap[rejected.prompt, rejected.response]
    weight = dpo.weight(margin, dpo.Config(beta=0.7)).tolist()
    assert table.columns.tolist() == [
        "pair", "seed", "margin", "push_chosen", "push_rejected",
    ]  # fmt: skip
    assert table.pair.tolist() == list(range(60)) and set(table.seed) == {0}
    assert table.margin.tolist() == pytest.approx(margin.tolist(), abs=1e-12)
    assert table.push_chosen.tolist() == pytest.approx(weight, abs=1e-12)
    assert table.push_rejected.tolist() == pytest.approx([-w for w in weight])
    assert policy.table.grad is None


@pytest.mark.parametrize("shared", [False, True])
def test_a_stack_gives_the_rows_of_its_members(world, ref, other, pairs, stack, shared):
    both = Pairs.cat([pairs[:25], pairs[25:50]])
    cached = both.reference_logps(TabularPolicy(world, ref))
    table = of_pairs(
        dpo, dpo.Config(), stack(world, [ref, other]), both, cached, shared=shared,
        chunk=9,
    )  # fmt: skip
    for seed, logps in enumerate([ref, other]):
        alone = of_pairs(dpo, dpo.Config(), TabularPolicy(world, logps), both, cached)
        if not shared:
            alone = alone[25 * seed : 25 * (seed + 1)]
        seen = table[table.seed == seed]
        assert seen.pair.tolist() == alone.pair.tolist()
        assert seen.margin.tolist() == pytest.approx(alone.margin.tolist())
        assert seen.push_chosen.tolist() == pytest.approx(alone.push_chosen.tolist())
