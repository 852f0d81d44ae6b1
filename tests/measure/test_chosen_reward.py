"""The predicted fall of the chosen responses' implicit reward."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, population_pairs, sample_pairs
from workbench.measure.chosen_reward import DeclineTracker, decline, pair_distributions
from workbench.measure.implicit_reward import of_pairs
from workbench.methods.decoding import best_of_n
from workbench.models.policy import TabularPolicy
from workbench.worlds import solutions


def test_two_responses_by_hand():
    # one pair, so p_w = (σ(1), σ(−1)) for rewards 1 and 0 whatever the reference
    ref = torch.tensor([[0.8, 0.2]], dtype=torch.float64).log()
    reward = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    win = 1 / (1 + math.exp(-1))
    chosen, rejected = pair_distributions(ref, reward)
    assert chosen.exp()[0].tolist() == pytest.approx([win, 1 - win])
    assert rejected.exp()[0].tolist() == pytest.approx([1 - win, win])
    row = decline(ref, reward, 0.5).iloc[0]
    value = 0.5 * math.log(0.8 * math.exp(2) + 0.2)
    assert row.value == pytest.approx(value)
    assert row.chosen == pytest.approx(win - value)
    assert row.rejected == pytest.approx(1 - win - value)


def test_with_repeats_a_response_is_chosen_at_most_twice_as_often(world, ref, gold):
    """p_w = 2 π_ref B and p_l = 2 π_ref (1 − B); without noise, best of two."""
    chosen, rejected = pair_distributions(ref, gold, repeats=True)
    wins = (gold[:, :, None] - gold[:, None, :]).sigmoid()
    twice = 2 * (wins @ ref.double().exp()[:, :, None])[..., 0]
    # the shipped reference sums to 1 within float32
    assert torch.allclose((chosen - ref).exp(), twice, rtol=1e-5)
    mean = (chosen.exp() + rejected.exp()) / 2
    assert torch.allclose(mean, ref.double().exp(), atol=1e-6)
    sharp, _ = pair_distributions(ref, gold / 1e-6, repeats=True)
    best = best_of_n.log_distribution(ref, gold, 2)
    assert torch.allclose(sharp, best, atol=1e-5)


def test_it_is_what_the_population_of_pairs_shows_at_the_optimum(world, ref, gold):
    beta = 0.3
    parts = [population_pairs(world, p, ref[p], Annotator()) for p in range(4)]
    # a mean over prompts: the same total weight for each
    parts = [Pairs(p.chosen, p.rejected, p.weight / p.weight.sum()) for p in parts]
    pairs = Pairs.cat(parts)
    best = TabularPolicy(world, solutions.optimal_policy(ref, gold, beta))
    cached = pairs.reference_logps(TabularPolicy(world, ref))
    seen = of_pairs(best, pairs, cached, beta, chunk=8192).iloc[0]
    row = decline(ref, gold, beta).iloc[0]
    for column in ("chosen", "rejected", "margin"):
        assert seen[column] == pytest.approx(row[column], abs=1e-10)


def test_drawn_pairs_agree_within_four_standard_errors(world, ref, gold):
    pairs = sample_pairs(world, ref, 4000, Annotator(), generator(5))
    for logps, tokens in zip(
        pair_distributions(ref, gold), (pairs.chosen, pairs.rejected), strict=True
    ):
        drawn = world.gold_reward(tokens)
        stderr = drawn.std() / math.sqrt(len(drawn))
        truth = solutions.expectation(logps, gold).mean()
        assert (drawn.mean() - truth).abs() < 4 * stderr


def test_the_sign_of_the_chosen_reward_follows_the_rule(world, ref, gold):
    betas = [0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0]
    table = decline(ref, gold, betas)
    won = solutions.expectation(pair_distributions(ref, gold)[0], gold).mean().item()
    assert ((table.chosen < 0) == (won < table.value)).all()
    # both signs occur: negative for small β, positive for large
    assert table.chosen.iloc[0] < 0 < table.chosen.iloc[-1]
    assert (table.rejected < 0).all()
    assert table.margin.tolist() == pytest.approx([table.margin[0]] * len(betas))


def test_equal_rewards_among_many_are_handled_once_and_rightly(world, ref):
    reward = world.n_words.double().expand(4, -1).contiguous()  # three levels
    mass = ref.exp()
    gap = reward[:, :, None] - reward[:, None, :]
    joint = mass[:, :, None] * mass[:, None, :] * gap.sigmoid()
    joint = joint * (1 - torch.eye(ref.shape[1]).double())
    brute = joint.sum(-1) / joint.sum((1, 2))[:, None]
    torch.testing.assert_close(pair_distributions(ref, reward)[0].exp(), brute)


def test_the_tracker_agrees_with_the_rule_at_the_optimum_and_is_zero_at_the_start(
    world, ref, gold
):
    beta = 0.5
    track = DeclineTracker(world, ref, gold, beta)
    best = solutions.optimal_policy(ref, gold, beta)
    seen = track(torch.stack([ref, best]))
    rule = decline(ref, gold, beta).iloc[0]
    assert seen.seed.tolist() == [0, 1]
    assert seen.loc[0, ["chosen", "rejected", "margin"]].abs().max() < 1e-12
    assert seen.chosen[1] == pytest.approx(rule.chosen, abs=1e-12)
    assert seen.rejected[1] == pytest.approx(rule.rejected, abs=1e-12)
    assert seen.margin[1] == pytest.approx(rule.margin, abs=1e-12)


def test_the_tracker_takes_pairs_of_another_writer(world, ref, gold):
    """KL(p‖π_ref) − KL(p‖π) for each side p, whoever wrote the pairs."""
    sides = pair_distributions(world.author, gold, repeats=True)
    tracker = DeclineTracker(world, ref, gold, 1.0, sides=sides)
    seen = tracker(TabularPolicy(world, sides[0])).iloc[0]
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        told = solutions.kl(side, ref) - solutions.kl(side, sides[0])
        assert seen[name] == pytest.approx(told.mean().item(), abs=1e-6)
