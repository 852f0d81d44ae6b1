"""A policy's own score against the truth: the optimum knows it, others in part."""

import math

import pytest
import torch

from workbench.core.divergences import CHI2_KL, FORWARD_KL, REVERSE_KL
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.measure import implicit_accuracy as measure
from workbench.measure import reward_model
from workbench.methods.direct.length import ln_dpo, simpo
from workbench.methods.direct.links import orpo
from workbench.models.policy import TabularPolicy
from workbench.worlds import solutions
from workbench.worlds.probes import YesNo

BETA = 0.4


@pytest.fixture(scope="module")
def questions(ref, gold):
    return measure.population(ref, gold)


def read(policy, world, ref, questions, score=None):
    """The row of a single policy."""
    score = score or measure.logratio_score(BETA)
    return measure.of_policy(policy, world, ref, questions, score).iloc[0]


def test_the_optimum_knows_every_probability(world, ref, gold, questions):
    best = solutions.optimal_policy(ref, gold, BETA)
    row = read(best, world, ref, questions)
    assert row["accuracy"] == pytest.approx(row["ceiling"])
    assert row["slope"] == pytest.approx(1.0)
    assert abs(row["label_kl"]) < 1e-12 and row["ece"] < 1e-12
    p, w = questions.odds.sigmoid(), questions.weight / questions.weight.sum()
    assert row["brier"] == pytest.approx((w * p * (1 - p)).sum().item())
    noise = -(w * (p * p.log() + (1 - p) * (1 - p).log())).sum().item()
    assert row["nll"] == pytest.approx(noise)


def test_twice_the_tilt_is_twice_as_sure_and_as_accurate(world, ref, gold, questions):
    bold = read(solutions.optimal_policy(ref, gold, BETA / 2), world, ref, questions)
    assert bold["slope"] == pytest.approx(2.0)
    assert bold["accuracy"] == pytest.approx(bold["ceiling"])
    assert bold["label_kl"] > 0.01 and bold["ece"] > 0.02


def test_the_reference_states_one_half_and_may_still_rank(world, ref, questions):
    row = read(ref, world, ref, questions)
    assert row["accuracy"] == pytest.approx(0.5) and row["slope"] == 0.0
    assert row["brier"] == pytest.approx(0.25) and row["nll"] == pytest.approx(
        math.log(2)
    )
    assert abs(row["ranking"] - 0.5) > 0.02


def test_ranking_is_no_accuracy_by_hand():
    """Two answers, π_ref = (0.9, 0.1), gold (0, 1) and β = 1: π* ∝ (0.9, 0.1 e).

    π* still prefers the worse answer (0.9 > 0.272): its implicit reward is right, its
    ranking is wrong. The label agrees with gold in σ(1) of the cases.
    """
    world = YesNo({})
    ref = torch.full((1, 7), -60.0, dtype=torch.float64)
    ref[0, 1:3] = torch.tensor([0.9, 0.1], dtype=torch.float64).log()
    reward = torch.zeros(1, 7, dtype=torch.float64)
    reward[0, 2] = 1.0
    best = solutions.optimal_policy(ref, reward, 1.0)
    score = measure.logratio_score(1.0)
    row = read(best, world, ref, measure.population(ref, reward), score)
    right = 1 / (1 + math.exp(-1))
    assert row["accuracy"] == pytest.approx(right, abs=1e-9)
    assert row["ranking"] == pytest.approx(1 - right, abs=1e-9)


def test_all_unordered_pairs_are_all_ordered_ones(world, ref, other, gold):
    for temperature in (1.0, 0.5):
        score = BETA * (other - ref)
        parts = reward_model.population(ref, score, gold, temperature)
        truth = reward_model.against_truth(*parts)
        asked = measure.population(ref, gold, temperature)
        row = read(other, world, ref, asked)
        for name in ("accuracy", "ceiling", "slope"):
            assert row[name] == pytest.approx(truth[name], abs=1e-12), name
        assert row["label_kl"] == pytest.approx(truth["kl"], abs=1e-12)
    assert len(asked) == 4 * 73 * 72 // 2


def test_drawn_pairs_agree_within_four_standard_errors(world, ref, other, gold):
    n = 20_000
    whole = read(other, world, ref, measure.population(ref, gold))
    asked = measure.sampled(world, ref, gold, n, generator(2))
    assert (asked.first != asked.second).all() and len(asked) == n
    drawn = read(other, world, ref, asked)
    for name in ("accuracy", "ceiling", "ranking", "brier"):  # values within [0, 1]
        assert abs(drawn[name] - whole[name]) < 4 * 0.5 / n**0.5, name


def test_held_out_labels_by_hand(world, ref, gold):
    """Three pairs; the policy scores two of the chosen responses higher, ties one."""
    prompt = torch.tensor([0, 1, 2])
    first, second = torch.tensor([1, 2, 3]), torch.tensor([4, 5, 6])
    policy = ref.clone()
    policy[0, 1] += 0.3
    policy[1, 5] += 0.2
    pairs = Pairs(
        world.tokens(prompt, first),
        world.tokens(prompt, second),
        torch.ones(3).double(),
    )
    asked = measure.held_out(pairs, gold, temperature=2.0)
    assert asked.label.tolist() == [1.0] * 3
    gaps = gold[prompt, first] - gold[prompt, second]
    assert asked.odds.tolist() == pytest.approx((gaps / 2).tolist())
    row = read(policy, world, ref, asked)  # log-probs as given, unnormalised
    assert row["accuracy"] == pytest.approx((1 + 0 + 0.5) / 3)
    stated = [BETA * 0.3, -BETA * 0.2, 0.0]
    chances = [1 / (1 + math.exp(-s)) for s in stated]
    assert row["brier"] == pytest.approx(sum((1 - s) ** 2 for s in chances) / 3)
    assert row["nll"] == pytest.approx(-sum(map(math.log, chances)) / 3)
    truth = [1 / (1 + math.exp(-o)) for o in asked.odds.tolist()]
    gaps = [
        p * math.log(p / s) + (1 - p) * math.log((1 - p) / (1 - s))
        for p, s in zip(truth, chances, strict=True)
    ]
    assert row["label_kl"] == pytest.approx(sum(gaps) / 3)
    fit = sum(s * o for s, o in zip(stated, asked.odds.tolist(), strict=True))
    assert row["slope"] == pytest.approx(fit / asked.odds.square().sum().item())
    sure = float(
        (asked.odds > 0).double().mean() + (asked.odds == 0).double().mean() / 2
    )
    assert row["ceiling"] == pytest.approx(sure)


def test_a_pair_of_weight_three_is_three_pairs(world, ref, other, gold):
    pairs = sample_pairs(world, ref, 5, Annotator(), generator(8))
    heavy = Pairs(
        pairs.chosen, pairs.rejected, torch.tensor([3.0, 1, 1, 2, 1]).double()
    )
    often = pairs[torch.tensor([0, 0, 0, 1, 2, 3, 3, 4])]
    rows = [
        read(other, world, ref, measure.held_out(p, gold))
        for p in (heavy, often, pairs)
    ]
    for name in measure.COLUMNS:
        assert rows[0][name] == pytest.approx(rows[1][name]), name
    for name in ("ece", "brier", "nll", "label_kl", "slope"):
        assert rows[0][name] != pytest.approx(rows[2][name], abs=1e-6), name


def test_held_out_labels_are_in_expectation_those_of_the_population(
    world, ref, other, gold
):
    pairs = sample_pairs(world, ref, 8000, Annotator(), generator(4))
    drawn = read(other, world, ref, measure.held_out(pairs, gold))
    whole = read(other, world, ref, measure.population(ref, gold))
    for name in ("accuracy", "ceiling", "ranking"):
        assert abs(drawn[name] - whole[name]) < 4 * 0.5 / 8000**0.5, name


@pytest.mark.parametrize("divergence", [FORWARD_KL, CHI2_KL])
def test_another_divergence_needs_its_own_score(
    world, ref, gold, questions, divergence
):
    best = solutions.optimal_policy_f(ref, gold, BETA, divergence)
    score = measure.divergence_score(BETA, divergence)
    right = read(best, world, ref, questions, score)
    assert right["slope"] == pytest.approx(1.0, abs=1e-6) and right["label_kl"] < 1e-9
    wrong = read(best, world, ref, questions)
    assert abs(wrong["slope"] - 1) > 0.05 and wrong["label_kl"] > 1e-3


def test_reverse_kl_is_the_log_ratio(world, ref, other, questions):
    score = measure.divergence_score(BETA, REVERSE_KL)
    one, two = (read(other, world, ref, questions, s) for s in (score, None))
    assert one.equals(two)


@pytest.mark.parametrize("method, reference", [(simpo, False), (ln_dpo, True)])
def test_scores_per_token_are_those_of_the_losses(world, ref, other, method, reference):
    """Their difference is the margin in the loss, whatever the lengths."""
    pairs = sample_pairs(world, other, 40, Annotator(), generator(6))
    odd = world.tokens(torch.tensor([0, 3]), torch.tensor([0, 7]))  # one and two tokens
    pairs = Pairs.cat([pairs, Pairs(odd, world.tokens(odd.prompt, odd.response + 3),
                                    torch.ones(2).double())])  # fmt: skip
    cached = pairs.reference_logps(TabularPolicy(world, ref))
    batch = pairs.batch(TabularPolicy(world, other), torch.arange(42), cached)
    kind = "logratio" if reference else "logps"
    margin = getattr(batch.chosen, kind)("mean") - getattr(batch.rejected, kind)("mean")
    score = measure.per_token_score(BETA, world, reference=reference)
    table = score(other, ref)
    at = pairs.chosen.prompt
    gap = table[at, pairs.chosen.response] - table[at, pairs.rejected.response]
    torch.testing.assert_close(gap, BETA * margin)
    cfg = method.Config(beta=BETA)
    lost = method.loss(batch, cfg)
    shift = getattr(cfg, "gamma", 0.0)
    torch.testing.assert_close(lost, -torch.nn.functional.logsigmoid(gap - shift))


def test_the_log_odds_are_those_of_orpo(world, ref, other):
    pairs = sample_pairs(world, other, 40, Annotator(), generator(6))
    cached = pairs.reference_logps(TabularPolicy(world, ref))
    batch = pairs.batch(TabularPolicy(world, other), torch.arange(40), cached)
    table = measure.log_odds_score(world)(other, ref)
    at = pairs.chosen.prompt
    gap = table[at, pairs.chosen.response] - table[at, pairs.rejected.response]
    torch.testing.assert_close(gap, orpo.log_odds_ratio(batch))


def test_the_tracker_is_the_measure_with_its_prefix(world, ref, other, gold, stack):
    two, score = stack(world, [ref, other]), measure.logratio_score(BETA)
    asked = measure.sampled(world, ref, gold, 500, generator(0))
    track = measure.ScoreTracker(world, ref, asked, score, prefix="held_out_")
    frame, plain = track(two), measure.of_policy(two, world, ref, asked, score)
    assert frame["seed"].tolist() == [0, 1]
    for name in measure.COLUMNS:
        assert frame[f"held_out_{name}"].tolist() == plain[name].tolist()


def test_reliability_of_the_optimum_is_the_diagonal(world, ref, gold, questions):
    best = solutions.optimal_policy(ref, gold, BETA)
    both = torch.stack([best, solutions.optimal_policy(ref, gold, BETA / 3)])
    score = measure.logratio_score(BETA)
    frame = measure.reliability(both, world, ref, questions, score)
    gaps = (frame["predicted"] - frame["observed"]).abs().groupby(frame["seed"]).max()
    assert gaps[0] < 1e-12 and gaps[1] > 0.05
    assert frame.groupby("seed")["share"].sum().tolist() == pytest.approx([1.0, 1.0])
