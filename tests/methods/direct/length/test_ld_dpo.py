"""LD-DPO by hand, its two ends, and where the optimal policy is its minimiser."""

import math
from dataclasses import replace

import torch
from torch.testing import assert_close

from tests.methods.enumerated import F64, random, random_logps, token_logps
from tests.methods.pairwise import (
    all_pairs,
    pair,
    population_gradient,
    pulls,
    reference_gradients,
)
from workbench.methods.direct.length import ld_dpo
from workbench.methods.direct.links import dpo
from workbench.worlds.solutions import optimal_policy
from workbench.worlds.tree import PrefixTree

CFG = ld_dpo.Config(beta=0.4, a=0.25)
CUT = ld_dpo.Config(beta=0.4, a=0.0)
WHOLE = ld_dpo.Config(beta=0.4, a=1.0)
TREE = PrefixTree(n_words=2, depth=3)  # 15 responses of 1, 2 or 3 tokens
N = TREE.n_responses
LENGTHS = token_logps(TREE, random_logps(0, N))[1].sum(-1).to(F64)


def long_chosen():
    """Log-ratios 1, then 0.5 and 1.5 beyond the one token of −1 of the rejected."""
    return pair([-1.0, -2.0, -1.0], [-3.0], [-2.0, -2.5, -2.5], [-2.0])


def long_rejected():
    """The same responses, the other one chosen."""
    return pair([-3.0], [-1.0, -2.0, -1.0], [-2.0], [-2.0, -2.5, -2.5])


def check_hand_number(loss):
    """D_a = 1 + 0.25 · 2 + 1 = 2.5, so β D_a = 1; swapped, −1."""
    assert_close(loss(long_chosen(), CFG).tolist(), [math.log1p(math.exp(-1))])
    assert_close(loss(long_rejected(), CFG).tolist(), [math.log1p(math.exp(1))])


def check_pulls_after_the_shorter_length_are_scaled(loss):
    """0.4/(1 + e) on the first tokens, a quarter of it on the two after."""
    error = 0.4 / (1 + math.e)
    up, down = pulls(loss, long_chosen(), CFG)
    expected = torch.tensor([[0.0, 1.0, 0.25, 0.25, 0.0]], dtype=F64)
    assert_close(up, error * expected)
    assert_close(down, -error * torch.tensor([[0.0, 1.0, 0, 0, 0]], dtype=F64))


def check_no_pull_after_the_shorter_length_at_zero(loss):
    """a = 0: the rest of the longer response gets none, on either side."""
    up, _ = pulls(loss, long_chosen(), CUT)
    _, down = pulls(loss, long_rejected(), CUT)
    assert up[0, 1] > 0 > down[0, 1]
    assert up[0, 2:].abs().max() == down[0, 2:].abs().max() == 0


def check_at_the_start_the_loss_is_log_two(loss):
    """π = π_ref: the reference is scaled like the policy, so D_a = 0."""
    batch = long_chosen()
    same = replace(
        batch, ref_chosen=batch.policy_chosen, ref_rejected=batch.policy_rejected
    )
    assert_close(loss(same, CFG).tolist(), [math.log(2)])


def check_reference_gets_no_gradient(loss):
    """The reference is frozen: only the policy may move."""
    assert reference_gradients(loss, long_chosen(), CFG) == 0


def gradient_at_the_optimum(loss, cfg, counted):
    """Gradient at π*_β of the pairs counted, with Bradley–Terry labels."""
    ref, reward = random_logps(1, N), 2 * random(2, N)
    weight = random(3, N, N).exp() * counted
    prefers = (reward[:, None] - reward).sigmoid()
    best = optimal_policy(ref, reward, cfg.beta)
    return population_gradient(loss, cfg, best, ref, prefers, weight + weight.T, TREE)


def check_optimal_policy_is_stationary_on_pairs_of_equal_length(loss):
    """There is no rest: D_a = D for every a."""
    equal = LENGTHS[:, None] == LENGTHS
    for cfg in (CFG, CUT):
        assert gradient_at_the_optimum(loss, cfg, equal).abs().max() < 1e-10


CHECKS = [
    check_hand_number,
    check_pulls_after_the_shorter_length_are_scaled,
    check_no_pull_after_the_shorter_length_at_zero,
    check_at_the_start_the_loss_is_log_two,
    check_reference_gets_no_gradient,
    check_optimal_policy_is_stationary_on_pairs_of_equal_length,
]


def test_at_one_it_is_dpo_in_value_and_gradient():
    batch, plain = (
        all_pairs(random_logps(4, N), random_logps(1, N), TREE),
        dpo.Config(beta=0.4),
    )
    assert_close(ld_dpo.loss(batch, WHOLE), dpo.loss(batch, plain))
    ours, theirs = pulls(ld_dpo.loss, batch, WHOLE), pulls(dpo.loss, batch, plain)
    assert_close(ours, theirs)


def test_at_zero_it_is_dpo_on_responses_cut_to_the_shorter_length():
    batch = all_pairs(random_logps(4, N), random_logps(1, N), TREE)
    shared = torch.minimum(batch.chosen_mask.sum(-1), batch.rejected_mask.sum(-1))
    cut = replace(
        batch,
        chosen_mask=batch.chosen_mask
        & (batch.chosen_mask.cumsum(-1) <= shared[:, None]),
        rejected_mask=batch.rejected_mask
        & (batch.rejected_mask.cumsum(-1) <= shared[:, None]),
    )
    assert (cut.chosen_mask.sum(-1) == cut.rejected_mask.sum(-1)).all()
    assert_close(ld_dpo.loss(batch, CUT), dpo.loss(cut, dpo.Config(beta=0.4)))


def test_with_pairs_of_unequal_length_the_optimal_policy_is_no_minimiser_below_one():
    every = torch.ones(N, N)
    found = [
        gradient_at_the_optimum(ld_dpo.loss, cfg, every).abs().max()
        for cfg in (CUT, CFG, WHOLE)
    ]
    assert found[0] > 1e-2
    assert found[1] > 1e-2
    assert found[2] < 1e-10


def test_positions_are_counted_from_the_first_response_token():
    """Two prompt columns in front of one response change nothing."""
    batch = long_chosen()
    wide = {
        name: torch.nn.functional.pad(getattr(batch, name), (2, 0))
        for name in batch.__dataclass_fields__
    }
    assert_close(ld_dpo.loss(replace(batch, **wide), CFG), ld_dpo.loss(batch, CFG))
