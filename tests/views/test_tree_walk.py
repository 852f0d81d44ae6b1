"""The tree walk: chances and values of the next word, and the buttons that write."""

import pytest
import torch

from workbench.views.instruments.tree_walk import N, outlook, tree_walk
from workbench.views.instruments.word_path import WordPath
from workbench.worlds.reviews import Reviews

B = 2.0


@pytest.fixture(scope="module")
def world():
    return Reviews(max_words=2)


def below(world, word: int) -> torch.Tensor:
    """Numbers of all reviews that begin with a word."""
    texts = [world.text(i).split() for i in range(world.tree.n_responses)]
    begin = [i for i, text in enumerate(texts) if text[:1] == [world.words[word]]]
    return torch.tensor(begin)


def test_chances_and_values_of_the_first_word_by_enumeration(world):
    """Sums over whole reviews: no conditional and no backup is used.

    Q^ref = E[r | word] under π_ref; Q* = (1/b) log E[e^{b r} | word]; best-of-N draws N
    reviews and keeps the best.
    """
    ref, gold = world.author[1], world.gold[1]
    found = outlook(world, ref, gold, B, 0).frame.set_index("word")
    p, tilted = ref.exp(), ref.exp() * (B * gold).exp()
    kept = torch.stack([p[gold <= r].sum() for r in gold]) ** N
    kept = kept - torch.stack([p[gold < r].sum() for r in gold]) ** N
    kept = kept * p / torch.stack([p[gold == r].sum() for r in gold])
    assert kept.sum().item() == pytest.approx(1)
    for word in range(3):
        here, row = below(world, word), found.loc[world.words[word]]
        assert row["π_ref"] == pytest.approx(p[here].sum().item())
        assert row["π*"] == pytest.approx((tilted[here].sum() / tilted.sum()).item())
        assert row[f"best-of-{N}"] == pytest.approx(kept[here].sum().item())
        mean = (p[here] * gold[here]).sum() / p[here].sum()
        assert row["mean"] == pytest.approx(mean.item())
        soft = (tilted[here].sum() / p[here].sum()).log() / B
        assert row["soft"] == pytest.approx(soft.item())
    assert found.loc["the end", "mean"] == pytest.approx(gold[0].item())


def test_steering_by_the_mean_tilts_each_word_by_its_mean(world):
    found = outlook(world, world.author[0], world.gold[0], B, 0).frame
    tilted = found["π_ref"] * (B * found["mean"]).map(lambda q: torch.tensor(q).exp())
    tilted = tilted.astype(float)
    assert found["V^ref"].tolist() == pytest.approx((tilted / tilted.sum()).tolist())


def test_a_finished_review_is_told_with_its_gold(world):
    walk = tree_walk(world, world.author, world.gold, live=False)
    good = world.words.index("good")
    for path in ((good, len(world.words)), (good, good)):
        text = "good" if path[1] != good else "good good"
        gold = world.gold[0, world.index(text)].item()
        told = walk.draw(path=path, strength=1.0).caption
        assert told == f"“{text}” is finished: its gold reward is {gold:.2f}."
    told = walk.draw(path=(good,), strength=1.0).caption
    assert told.startswith("After “good” the frozen model earns")


def test_a_wordless_review_that_ends_is_finished(world):
    walk = tree_walk(world, world.author, world.gold, live=False)
    told = walk.draw(path=(len(world.words),), strength=1.0).caption
    assert told.startswith("“(nothing yet)” is finished")


def test_buttons_write_and_go_back_and_rest_when_the_text_is_finished():
    box = WordPath(("a", "b"), depth=2).widget()
    text, first, second, end, back = box.children
    assert box.value == () and back.disabled and not first.disabled
    second.click()
    first.click()
    assert box.value == (1, 0) and "b a" in text.value
    assert first.disabled and end.disabled and not back.disabled
    first.click()
    assert box.value == (1, 0)
    back.click()
    end.click()
    assert box.value == (1, 2) and first.disabled
    back.click()
    back.click()
    assert box.value == ()


def test_the_words_move_the_picture(world):
    walk = tree_walk(world, world.author, world.gold, live=True)
    walk.widgets["path"].children[1].click()
    assert walk.last_error is None and f"After “{world.words[0]}”" in walk.status.value
    walk.button.click()
    assert walk.values == walk.defaults and "(nothing yet)" in walk.status.value


def test_a_book_walks_two_words_deep():
    paths = WordPath(("a", "b"), depth=3).grid()
    assert paths == [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)]
    assert [WordPath(("a", "b"), 3).told(p) for p in paths[:4]] == [
        "(nothing yet)", "a", "b", "a a",
    ]  # fmt: skip
