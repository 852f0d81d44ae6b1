"""The small reward model: its features, its common draws, its gradient steps."""

import pytest
import torch

from workbench.views.instruments.small_reward import (
    BATCH,
    RATE,
    fitted_scores,
    labelled_pairs,
    word_features,
)
from workbench.worlds.reviews import Reviews


@pytest.fixture(scope="module")
def world():
    return Reviews(3)


@pytest.fixture(scope="module")
def features(world):
    return word_features(world)


def test_the_features_of_a_review_by_hand(world, features):
    """“not very good” of the cast: three words, two neighbours, three own words."""
    cast, review = world.prompts.index("cast"), world.index("not very good")
    row = features[cast, review]
    words = [world.words.index(word) for word in ("not", "very", "good")]
    not_, very, good = words
    neighbours = [8 + 8 * not_ + very, 8 + 8 * very + good]
    own = [8 + 64 + 8 * cast + word for word in words]
    assert row.nonzero()[:, 0].tolist() == sorted([*words, *neighbours, *own])
    assert row.max() == 1
    assert features[cast, world.index("good good")].max() == 2
    assert features[cast, world.index("(silence)")].sum() == 0


def test_flips_change_labels_and_nothing_else(world):
    """The same responses and coins: a higher rate never puts a label right again."""
    rates = (0.0, 0.2, 0.5)
    drawn = [labelled_pairs(world, world.author, rate, 0) for rate in rates]
    both = [torch.stack([p.chosen.response, p.rejected.response]) for p in drawn]
    assert all((each.sort(0).values == both[0].sort(0).values).all() for each in both)
    wrong = [(each[0] != both[0][0]) for each in both]
    shares = [each.double().mean().item() for each in wrong]
    assert shares[0] == 0 < shares[1] < shares[2] < 0.5
    assert (wrong[1] <= wrong[2]).all()


def test_a_step_is_the_gradient_of_the_loss(world, features):
    """One epoch of one batch, against autograd."""
    pairs = labelled_pairs(world, world.author, 0.0, 0)[:BATCH]
    weights = torch.zeros(features.shape[-1], dtype=torch.float64, requires_grad=True)
    sides = (pairs.chosen, pairs.rejected)
    first, second = (features[side.prompt, side.response] @ weights for side in sides)
    torch.nn.functional.logsigmoid(first - second).mean().backward()
    scores = fitted_scores(features, pairs, [1])[0]
    assert torch.allclose(scores, features @ (RATE * weights.grad))


def test_epochs_go_on_where_they_stopped(world, features):
    pairs = labelled_pairs(world, world.author, 0.1, 0)[:100]
    path = fitted_scores(features, pairs, [1, 3])
    assert torch.equal(path[1], fitted_scores(features, pairs, [3])[0])
    assert (path[1] - path[0]).abs().max() > 0.01


def test_many_pairs_teach_the_order_of_reviews(world, features):
    pairs = labelled_pairs(world, world.author, 0.0, 0)
    score = fitted_scores(features, pairs, [4])[0]
    film = world.prompts.index("film")
    good, bad = (world.index(text) for text in ("good and fun", "bad and dull"))
    assert score[film, good] > score[film, bad] + 1
