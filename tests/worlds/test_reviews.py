"""The exact world as a learner meets it: tokens, texts, draws, the author."""

import pytest
import torch

from workbench.core.seeds import generator
from workbench.worlds.reviews import Reviews

WORLD = Reviews(3)


def test_text_and_number_invert_each_other_for_all_reviews():
    assert all(WORLD.index(WORLD.text(i)) == i for i in range(WORLD.n_responses))


def test_tokens_and_number_invert_each_other_for_all_reviews():
    every = torch.arange(WORLD.n_responses)
    tokens = WORLD.tokens(torch.zeros_like(every), every)
    assert torch.equal(WORLD.response_index(tokens.ids, tokens.mask), every)


def test_short_reviews_end_with_an_end_token_and_full_ones_do_not():
    short, full = WORLD.index("very good"), WORLD.index("good and fun")
    tokens = WORLD.tokens(torch.tensor([1, 1]), torch.tensor([short, full]))
    words = [[WORLD.vocab.tokens[i] for i in row] for row in tokens.ids.tolist()]
    assert words == [["plot", "very", "good", "<eos>"], ["plot", "good", "and", "fun"]]
    assert tokens.mask.tolist() == [[False, True, True, True]] * 2
    assert tokens.lengths.tolist() == [3, 3]


def test_too_many_words_and_unknown_words_are_refused():
    with pytest.raises(ValueError, match="more than 3 words"):
        WORLD.index("very good and fun")
    with pytest.raises(ValueError, match="not in"):
        WORLD.index("splendid")
    with pytest.raises(ValueError, match="1 to 5"):
        Reviews(6)


@pytest.mark.parametrize("max_words", [2, 3, 4, 5])
def test_the_author_is_a_distribution_that_gives_every_review_a_chance(max_words):
    author = Reviews(max_words).author
    torch.testing.assert_close(author.exp().sum(-1), torch.ones(4, dtype=torch.float64))
    assert author.isfinite().all()


def test_the_author_is_imperfect_and_kindest_to_the_cast():
    mean = (WORLD.author.exp() * WORLD.gold).sum(-1)
    assert mean.max() < WORLD.gold.amax(-1).min()
    assert WORLD.prompts[int(mean.argmax())] == "cast"


def test_draws_follow_the_distribution():
    n = 40_000
    tokens = WORLD.corpus(n, generator(0, "draw"))
    assert torch.bincount(tokens.prompt).tolist() == [n // 4] * 4
    seen = tokens.response[tokens.prompt == 2]
    probs = WORLD.author[2].exp()
    frequency = torch.bincount(seen, minlength=len(probs)) / len(seen)
    error = (probs * (1 - probs) / len(seen)).sqrt()
    # 585 comparisons: five standard errors leave no false alarm
    assert ((frequency - probs).abs() <= 5 * error + 1 / len(seen)).all()


def test_gold_reward_of_tokens_reads_the_table():
    tokens = WORLD.corpus(50, generator(1))
    expected = [
        WORLD.gold[p, WORLD.index(WORLD.text(int(r)))].item()
        for p, r in zip(tokens.prompt, tokens.response, strict=True)
    ]
    assert WORLD.gold_reward(tokens).tolist() == expected
