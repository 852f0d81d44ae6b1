"""A score against the truth over all pairs."""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import sample_pairs
from workbench.measure import calibration
from workbench.measure.reward_model import (
    HeldOut,
    ScoreParts,
    accuracy_by_strength,
    against_truth,
    kept_from,
    parts,
    population,
    regret,
)
from workbench.models import heads
from workbench.worlds.reviews import Reviews

REF = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).log()
GOLD = torch.tensor([[0.0, 1.0, -1.0]], dtype=torch.float64)


def test_the_population_by_hand():
    margins, truth, weight = population(REF, 2 * GOLD, GOLD)
    # pairs (i, j), i ≠ j, masses 0.15 0.10 0.06 in both orders, together 0.62
    table = weight.reshape(3, 3)
    assert table.diagonal().tolist() == [0, 0, 0]
    assert table[0, 1].item() == pytest.approx(0.15 / 0.62)
    assert weight.sum().item() == pytest.approx(1)
    assert margins.reshape(3, 3)[1, 2].item() == 4
    assert truth.reshape(3, 3)[1, 2].item() == pytest.approx(1 / (1 + math.exp(-2)))


def test_each_prompt_has_the_same_share(ref, gold):
    _, _, weight = population(ref, gold, gold)
    shares = weight.reshape(4, -1).sum(-1).tolist()
    assert shares == pytest.approx([0.25] * 4)


def test_the_gold_reward_itself_is_perfect_up_to_label_noise():
    found = against_truth(*population(REF, GOLD, GOLD))
    assert found["accuracy"] == pytest.approx(found["ceiling"]) and found["ceiling"] < 1
    assert found["absolute"] < 1e-12 and abs(found["kl"]) < 1e-12
    assert found["slope"] == pytest.approx(1)


def test_a_reward_of_the_prompt_alone_is_invisible(ref, gold, proxy):
    shift = torch.arange(4.0).double()[:, None]
    plain = against_truth(*population(ref, proxy, gold))
    assert against_truth(*population(ref, proxy + shift, gold)) == pytest.approx(plain)


def test_an_overconfident_score_keeps_accuracy_and_loses_calibration():
    found = against_truth(*population(REF, 3 * GOLD, GOLD))
    assert found["accuracy"] == pytest.approx(found["ceiling"])
    assert found["slope"] == pytest.approx(3) and found["kl"] > 0.05
    margins, truth, weight = population(REF, 3 * GOLD, GOLD)
    assert calibration.temperature(margins, truth, weight=weight) == pytest.approx(3)


def test_the_optimal_temperature_of_a_noisy_annotator_is_its_temperature(ref, gold):
    margins, truth, weight = population(ref, gold, gold, temperature=2.5)
    found = calibration.temperature(margins, truth, weight=weight)
    assert found == pytest.approx(2.5, rel=1e-9)


def test_a_reversed_score_is_right_where_gold_is_wrong():
    right = against_truth(*population(REF, GOLD, GOLD))["accuracy"]
    wrong = against_truth(*population(REF, -GOLD, GOLD))
    assert wrong["accuracy"] == pytest.approx(1 - right)
    assert wrong["slope"] == pytest.approx(-1)


def test_the_kl_is_that_of_two_coins():
    # p = ¾ against σ(0) = ½: ¾ log 3/2 + ¼ log ½
    zero, truth = torch.zeros(1).double(), torch.tensor([0.75]).double()
    hand = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert against_truth(zero, truth)["kl"] == pytest.approx(hand)


def test_held_out_pairs_measure_gold_and_a_model_that_knows_nothing():
    """Gold is calibrated and as accurate as possible; zeros cost log 2 and say ½."""
    world = Reviews(2)
    pairs = sample_pairs(world, world.author, 300, Annotator(), generator(0, "held"))
    held = HeldOut(world, world.author, pairs)
    best = held.of(world.gold)
    assert best["accuracy"] == pytest.approx(best["ceiling"])
    assert best["temperature"] == pytest.approx(1) and best["ece"] < 1e-9
    assert best["nll"] < math.log(2)
    nothing = held.of(torch.zeros_like(world.gold))
    assert nothing["nll"] == pytest.approx(math.log(2))
    assert nothing["accuracy"] == pytest.approx(0.5)
    assert nothing["spread"] == 0 and nothing["ece"] < 1e-9
    triple = held.of(3 * world.gold)
    assert triple["temperature"] == pytest.approx(3)
    assert triple["spread"] == pytest.approx(3 * best["spread"])


def test_every_member_of_a_stack_has_a_row():
    world = Reviews(2)
    pairs = sample_pairs(world, world.author, 20, Annotator(), generator(0, "held"))
    held = HeldOut(world, world.author, pairs)
    models = [heads.ScoreModel.tiny(world.vocab, seed=seed) for seed in range(2)]
    rows = held(heads.ScoreModel.stack(models))
    assert len(rows) == 2
    alone = held(models[1])
    assert rows.nll[1] == pytest.approx(alone.nll[0], rel=1e-5)
    score, gold = models[1].score_all(world), world.gold
    taken = ScoreParts(world, world.author, 0.5)(heads.ScoreModel.stack(models))
    want = parts(world.author, score, gold, world.n_words)
    want["regret"] = regret(world.author, score, gold, 0.5)
    assert dict(taken.iloc[1]) == pytest.approx(want, rel=1e-4)


def test_a_biased_annotators_labels_are_foretold_by_gold_and_its_bias():
    """σ((Δr + ½Δwords)/2), flipped one time in ten, and by no other score as well."""
    world = Reviews(2)
    annotator = Annotator(temperature=2.0, flip=0.1, length_bias=0.5)
    pairs = sample_pairs(world, world.author, 200, annotator, generator(1, "held"))
    held = HeldOut(world, world.author, pairs, annotator)
    felt = world.gold + 0.5 * world.n_words
    clean = (held.margins(felt) / 2).sigmoid()
    assert torch.allclose(held.chance, 0.1 + 0.8 * clean)
    own, gold = held.of(felt), held.of(world.gold)
    assert own["accuracy"] == pytest.approx(own["ceiling"])
    assert own["accuracy"] > gold["accuracy"] + 0.001


def test_the_parts_of_a_score_by_hand():
    """Masses ½ ¼ ¼, gold 0 1 −1, words 0 1 1, score 0 3 −1, 7 added at one prompt.

    From their means ½: words −½ ½ ½, score −½ 2½ −1½; gold and words do not covary, so
    a = (¼·3 + ¼·1)/(½) = 2 and b = Cov(words, score)/Var(words) = ¼/¼ = 1; nothing is
    left, and the two means, ½ and 7½, are 3½ from their mean.
    """
    ref = torch.tensor([[0.5, 0.25, 0.25]] * 2, dtype=torch.float64).log()
    gold = torch.tensor([[0.0, 1.0, -1.0]] * 2)
    score = torch.tensor([[0.0, 3.0, -1.0], [7.0, 10.0, 6.0]])
    found = parts(ref, score, gold, torch.tensor([0, 1, 1]))
    assert found == pytest.approx({"gold": 2, "word": 1, "rest": 0, "level": 3.5})


def test_what_is_neither_gold_nor_length_is_the_rest():
    """A part that covaries with neither, of deviation 0.3 √2, does not change them."""
    ref = torch.full((1, 4), 0.25, dtype=torch.float64).log()
    gold = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    words = torch.tensor([1, 1, 3, 3])
    odd = torch.tensor([[0.6, -0.6, -0.6, 0.6]]) / 2**0.5
    found = parts(ref, 0.5 * gold - 0.2 * words + odd, gold, words)
    assert found["gold"] == pytest.approx(0.5) and found["word"] == pytest.approx(-0.2)
    assert found["rest"] == pytest.approx(0.6 / 2**0.5) and found["level"] == 0


def test_the_regret_is_what_the_objective_lacks(ref, gold, proxy):
    """J(π*) − J(π̂), each J summed over all responses; a level costs nothing."""
    level = torch.arange(4.0).double()[:, None]
    values = []
    for score in (gold, proxy + level):
        weight = ref.exp() * (score / 0.7).exp()
        policy = weight / weight.sum(-1, keepdim=True)
        kl = (policy * (policy.log() - ref)).sum(-1)
        values.append(((policy * gold).sum(-1) - 0.7 * kl).mean().item())
    assert regret(ref, proxy, gold, 0.7) == pytest.approx(values[0] - values[1])
    assert regret(ref, gold, gold, 0.7) == 0


def test_the_best_quarter_by_hand():
    """Two prompts: 3 and 2½ are kept, masses ¼ and ¼ of 2; then 2, ½, is too much."""
    ref = torch.tensor([[0.25, 0.25, 0.5], [0.25, 0.5, 0.25]], dtype=torch.float64)
    score = torch.tensor([[3.0, 0.0, 1.0], [0.0, 2.0, 2.5]])
    assert kept_from(ref.log(), score, 0.25).tolist() == pytest.approx([0.5, 0.5])
    high = score + torch.tensor([[0.0], [9.0]])
    assert kept_from(ref.log(), high, 0.4).tolist() == pytest.approx([0.0, 1.0])


def test_accuracy_by_strength_by_hand():
    """Log-odds 0.5, −0.5, 2, 4: the close pairs are half wrong, of the others one is.

    Close: called right and wrong, σ(0.5) and σ(−0.5), mean ½, ceiling σ(0.5). Clear:
    right at 2, wrong at 4, so (σ(2) + σ(−4))/2 under (σ(2) + σ(4))/2; weights 1 and 3
    make it (σ(2) + 3σ(−4))/4 under (σ(2) + 3σ(4))/4. Nothing lies above 9.
    """
    odds = torch.tensor([0.5, -0.5, 2.0, 4.0]).double()
    margins = torch.tensor([1.0, 3.0, 0.1, -0.1])
    weight = torch.tensor([1.0, 1.0, 1.0, 3.0])
    s = odds.sigmoid().tolist()
    close, clear, none = accuracy_by_strength(
        margins, odds.sigmoid(), [1.0, 9.0], weight
    )
    assert close == pytest.approx(0.5 - s[0])
    assert clear == pytest.approx(3 * ((1 - s[3]) - s[3]) / 4)
    assert math.isnan(none)
