"""Stories: gold by hand on short stories, an author that is imperfect, estimates.

The stories below are short enough to compute every term in the docstrings; ``least`` is
4 words, so that only the test of length sees that term.
"""

import math

import pytest
import torch

from workbench.core.seeds import generator
from workbench.models import tiny
from workbench.worlds.stories import Stories, estimate
from workbench.worlds.story_words import CLASSES, GENRES, NAMES, lexicon

WORLD = Stories(max_words=24, min_words=4)


def attributes(prompt: str, text: str, world: Stories = WORLD) -> dict[str, float]:
    tokens = world.tokens(torch.tensor([world.prompts.index(prompt)]), [text])
    return {name: value.item() for name, value in world.attributes(tokens).items()}


def test_every_word_is_one_token_and_there_are_a_few_hundred():
    tokens = WORLD.vocab.tokens
    assert len(set(tokens)) == len(tokens) == 258 + 2 + len(GENRES)
    assert not any(" " in token for token in tokens)
    assert WORLD.vocab.encode("anna met the fox .") != []
    assert len(WORLD.prompts) == len(set(WORLD.prompts)) == 96


def test_sentiment_is_the_arc_over_thirds_of_the_faded_worth_of_words():
    """12 words: thirds are words 0–3, 4–7, 8–11; a comedy wants (½, ½, 1).

    met +1 | happy +1 | happy faded to ½: tanh(1)/2 + tanh(1)/2 + tanh(½).
    """
    story = "anna met the fox . anna was happy . anna was happy"
    expected = math.tanh(1) / 2 + math.tanh(1) / 2 + math.tanh(0.5)
    assert attributes("comedy anna", story)["sentiment"] == pytest.approx(expected)
    # a tragedy wants (½, −½, −1) of the same feelings
    expected = math.tanh(1) / 2 - math.tanh(1) / 2 - math.tanh(0.5)
    assert attributes("tragedy anna", story)["sentiment"] == pytest.approx(expected)


def test_not_turns_the_mood_right_after_it_and_nothing_else():
    """4 words are thirds 0,0,1,2: the mood of "ben was happy ." stands in the second.

    With "not" there are 5: thirds 0,0,1,1,2, and the mood is worth −0.6.
    """
    plain = attributes("comedy ben", "ben was happy .")["sentiment"]
    turned = attributes("comedy ben", "ben was not happy .")["sentiment"]
    assert plain == pytest.approx(math.tanh(1) / 2)
    assert turned == pytest.approx(math.tanh(-0.6) / 2)
    # "not" before an adjective (an error) or before a deed turns nothing
    bright = attributes("comedy ben", "ben saw not bright fox .")["sentiment"]
    assert bright == pytest.approx(math.tanh(0.5) / 2)


def test_coherence_counts_the_lead_up_to_three_and_faded_settings_of_the_genre():
    """fox and meadow belong to fables, clue to mysteries.

    fox 1 + fox ½ + meadow 1 − clue 1 = 1.5; two of three mentions of anna.
    """
    story = "anna met the fox . anna saw the fox in the meadow . ben saw a clue ."
    expected = 2 / 6 + math.tanh(1.5 / 3) / 2
    assert attributes("fable anna", story)["coherence"] == pytest.approx(expected)
    # for ben's mystery: one mention, clue 1 − fox 1.5 − meadow 1
    expected = 1 / 6 + math.tanh(-1.5 / 3) / 2
    assert attributes("mystery ben", story)["coherence"] == pytest.approx(expected)
    often = " . ".join(["leo was sad"] * 4) + " ."
    assert attributes("fable leo", often)["coherence"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("verbs", "expected"),
    [
        ("met warned freed married", 1.0),
        ("met met warned", 0.5),
        ("warned freed married", 0.5),  # the beginning is missing
        ("met freed warned", 0.25 - 0.1 + 0.0),  # 1, then 3 too early, then back to 2
        ("met warned saw freed", 0.75 - 0.1),
        ("", 0.0),
    ],
)
def test_plot_counts_steps_to_the_next_stage_and_falls_back(verbs, expected):
    story = " ".join(f"anna {verb} the fox ." for verb in verbs.split())
    value = attributes("fable anna", story or "anna was sad .")["plot"]
    assert value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("story", "errors"),
    [
        ("anna met the fox .", 0),
        ("anna met the bright fox near a meadow . then ben was not happy .", 0),
        ("anna met in the meadow .", 0),
        ("then anna met the fox .", 1),  # nothing to join to
        ("anna met the fox", 1),  # no full stop
        ("anna met fox .", 1),
        ("anna anna met the fox .", 1),
        ("anna was not not happy .", 1),
        ("fox the met anna .", 4),  # start→noun, noun→det, det→verb, verb→name …
        ("anna met the fox . ben", 1),
        ("", 1),
        ("the the the the the the the the the the the the the the", 10),
    ],
)
def test_fluency_costs_three_tenths_an_error_and_ten_at_most(story, errors):
    if story.startswith("fox"):
        errors += 1  # … and name→stop
    assert attributes("fable anna", story)["fluency"] == pytest.approx(-0.3 * errors)


def test_a_story_that_is_too_short_loses_its_missing_share():
    world = Stories(max_words=24, min_words=16)
    assert attributes("fable anna", "anna was sad .", world)["length"] == -12 / 16
    long = "anna met the fox . " * 4
    assert attributes("fable anna", long, world)["length"] == 0


def test_gold_is_the_sum_of_its_attributes_and_of_the_tokens_alone():
    tokens = WORLD.corpus(200, generator(0))
    parts = WORLD.attributes(tokens)
    gold = WORLD.gold_reward(tokens)
    assert gold.dtype == torch.float64
    torch.testing.assert_close(gold, sum(parts.values()))
    # padding and the batch around a row change nothing, the chunk size neither
    alone = torch.cat([WORLD.gold_reward(tokens[i : i + 1]) for i in range(20)])
    assert torch.equal(alone, gold[:20])
    assert torch.equal(WORLD.gold_reward(tokens.padded(60)), gold)
    small = WORLD.attributes(tokens, chunk=7)
    assert all(torch.equal(small[name], parts[name]) for name in parts)
    # words behind the end of sequence are not read
    row = WORLD.tokens(torch.tensor([0]), ["anna was sad ."])
    noisy = row.padded(20)
    noisy.ids[0, 8:] = WORLD.vocab.ids["happy"]
    assert torch.equal(WORLD.gold_reward(noisy), WORLD.gold_reward(row))


def test_another_prompt_judges_the_same_story_otherwise():
    story = "anna met the fox . anna was happy . anna was happy ."
    prompts = torch.arange(WORLD.n_prompts)
    gold = WORLD.gold_reward(WORLD.tokens(prompts, [story] * len(prompts)))
    best = WORLD.prompts[int(gold.argmax())]
    assert best.split()[1] == "anna"
    assert len(gold.unique()) >= len(GENRES)


def test_the_corpus_is_the_same_for_a_seed_and_differs_between_seeds():
    one, two = (WORLD.corpus(100, generator(3, "corpus")) for _ in range(2))
    assert torch.equal(one.ids, two.ids) and torch.equal(one.mask, two.mask)
    other = WORLD.corpus(100, generator(4, "corpus"))
    assert one.ids.shape != other.ids.shape or not torch.equal(one.ids, other.ids)


def test_corpus_stories_have_their_length_their_end_and_their_prompt():
    world = Stories()
    tokens = world.corpus(2000, generator(0))
    ends = (tokens.ids == world.vocab.eos).sum(1)
    words = tokens.lengths - ends
    assert words.max() <= world.max_words
    # a lost word may bring a story just below its least length
    assert (words >= world.min_words).double().mean() > 0.99
    assert words.double().std() > 5
    assert torch.equal(ends == 0, words == world.max_words)
    last = tokens.ids.gather(1, tokens.attention.sum(1, keepdim=True) - 1)[:, 0]
    assert (last[ends == 1] == world.vocab.eos).all()
    assert torch.equal(tokens.ids[:, :2], world.prompt_tokens[tokens.prompt])
    assert torch.equal(tokens.prompt, torch.arange(2000) % world.n_prompts)
    body = tokens.ids[tokens.mask]
    assert not torch.isin(body, torch.tensor(world.vocab.forbidden)).any()
    assert (tokens.response == -1).all()


def test_the_author_is_better_than_babble_and_worse_than_a_careful_story():
    world = Stories()
    tokens = world.corpus(2000, generator(0))
    author = estimate(world.gold_reward(tokens))
    babble = tokens.ids.clone()
    body = tokens.mask & (tokens.ids != world.vocab.eos)
    draws = torch.randint(
        2 + len(GENRES), len(world.vocab.tokens), babble.shape, generator=generator(1)
    )
    babble[body] = draws[body]
    noise = world.gold_reward(
        type(tokens)(
            babble, tokens.mask, tokens.attention, tokens.prompt, tokens.response
        )
    )
    careful = (
        "anna saw the fox in the meadow . anna followed the crow near the pond . "
        "anna was sad . then anna freed the lamb . anna blessed the merry hen ."
        " anna was happy ."
    )
    best = sum(attributes("fable anna", careful, world).values())
    assert estimate(noise).high < author.low - 1
    assert author.high < best - 1
    errors = -world.attributes(tokens)["fluency"] / 0.3
    assert 0.3 < errors.mean() < 3  # imperfect, and not by much


def test_latent_mood_shows_in_the_arc_of_each_genre():
    """In tragedies the last third is sadder than the first, in fables gladder."""
    world = Stories()
    tokens = world.corpus(6000, generator(0))
    words = tokens.ids[:, 2:]
    real = tokens.mask[:, 2:]
    third = torch.arange(words.shape[1]) * 3 // real.sum(1, keepdim=True)
    worth = world.lexicon.worth[words] * real
    rise = (worth * (third == 2)).sum(1) - (worth * (third == 0)).sum(1)
    for name, sign in (("tragedy", -1), ("fable", 1)):
        found = estimate(sign * rise[tokens.ids[:, 0] == world.vocab.ids[name]])
        assert found.low > 0


def test_text_and_tokens_are_inverse_and_too_long_or_foreign_stories_are_refused():
    story = "anna met the fox . then ben was not happy ."
    tokens = WORLD.tokens(torch.tensor([5]), [story])
    assert WORLD.text(tokens.ids[0][tokens.mask[0]]) == story
    assert WORLD.text([]) == "(silence)"
    with pytest.raises(ValueError, match="25 words"):
        WORLD.tokens(torch.tensor([0]), ["anna " * 25])
    with pytest.raises(KeyError):
        WORLD.tokens(torch.tensor([0]), ["anna met a unicorn ."])
    with pytest.raises(ValueError):
        Stories(max_words=8, min_words=9)


def test_a_policy_writes_stories_that_the_gold_reward_can_read():
    policy = tiny.decoder(WORLD.vocab, width=16, layers=1)
    prompt = torch.arange(12)
    tokens = policy.sample(WORLD, prompt, generator(0))
    assert torch.equal(tokens.ids[:, :2], WORLD.prompt_tokens[prompt])
    assert WORLD.gold_reward(tokens).shape == (12,)
    assert (WORLD.attributes(tokens)["fluency"] <= 0).all()


def test_an_estimate_covers_the_truth_about_95_times_in_100():
    draws = torch.randn(2000, 12, generator=generator(0), dtype=torch.float64) * 3 + 1
    found = [estimate(row) for row in draws]
    covered = sum(e.low <= 1 <= e.high for e in found) / len(found)
    assert 0.935 < covered < 0.965
    one = found[0]
    assert one.n == 12
    assert one.mean == pytest.approx(draws[0].mean().item())
    assert one.stderr == pytest.approx(draws[0].std().item() / math.sqrt(12))
    assert one.high - one.mean == pytest.approx(2.20099 * one.stderr, rel=1e-4)


def test_verbs_have_a_stage_and_settings_have_a_genre():
    words = lexicon()
    for stage in (1, 2, 3, 4):
        for sign in (1, -1, 0):
            assert len(words.ids("verb", sign=sign, stage=stage)) == 5
    for genre in range(len(GENRES)):
        assert len(words.ids("noun", genre=genre)) == 12
        assert len(words.ids("place", genre=genre)) == 6
    assert len(words.ids("name")) == len(NAMES)
    assert len(words.ids("none")) == 2 + len(GENRES)
    assert set(CLASSES) >= {"stop", "verb", "mood"}
