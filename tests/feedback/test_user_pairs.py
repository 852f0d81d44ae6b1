"""Contexts of users: other pairs of the same user, never the pair itself."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from workbench.core.errors import MissingInput
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.feedback.kinds.user_pairs import LIMIT, UserPairs, UserPairScores
from workbench.feedback.labels import Labels
from workbench.models.latent_reward import LatentReward
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
# user 7 has 9 pairs, 3 has 6, −2 has 2, and 5 has but one
USERS = torch.tensor([7, 3, 7, -2, 7, 7, 3, 3, 5, 7, 3, -2, 7, 3, 7, 7, 3, 7])


def some_pairs() -> Pairs:
    even = torch.zeros(WORLD.n_prompts, WORLD.n_responses).log_softmax(-1)
    drawn = sample_pairs(WORLD, even, len(USERS), Annotator(), generator(1))
    return replace(drawn, columns={"users": USERS})


@pytest.fixture(scope="module")
def model():
    return LatentReward.tiny(WORLD.vocab, dim=3, width=16, layers=1)


@pytest.mark.parametrize("size", [1, 4, 30])
def test_a_context_holds_other_pairs_of_the_same_user(size):
    data, seen = UserPairs(some_pairs(), size), set()
    rows = torch.arange(len(USERS)).flip(0)
    for seed in range(40):
        others, known = data.contexts(rows, generator(seed))
        for row, other, counts in zip(rows.tolist(), others, known, strict=True):
            drawn = other[counts].tolist()
            assert len(set(drawn)) == len(drawn) and row not in drawn
            assert (USERS[drawn] == USERS[row]).all()
            assert len(drawn) == min(size, (USERS == USERS[row]).sum() - 1)
            seen |= {(row, one) for one in drawn}
    # every other pair of a user has its turn
    wanted = {(i, j) for i in range(18) for j in range(18) if i != j}
    assert seen == {(i, j) for i, j in wanted if USERS[i] == USERS[j]}


def turned(pairs: Pairs, row: int) -> Pairs:
    """The same with the label of one pair turned round."""
    chosen, rejected = pairs.chosen, pairs.rejected
    width = max(chosen.ids.shape[1], rejected.ids.shape[1])
    both = Pairs.cat([pairs, Pairs(rejected, chosen, pairs.weight, pairs.columns)])
    assert both.time == width
    index = torch.arange(len(pairs))
    index[row] += len(pairs)
    return both[index]


@torch.no_grad()
def test_the_label_of_a_pair_tells_nothing_of_its_own_posterior(model):
    pairs, rows = some_pairs(), torch.arange(len(USERS))
    before = UserPairs(pairs, 30).batch(model, rows)
    after = UserPairs(turned(pairs, 4), 30).batch(model, rows)
    moved = (after.mean - before.mean).abs().amax(-1)
    # row 4 is of user 7: the posterior moves at the other pairs of this user
    assert moved[4] < 1e-6
    assert (moved[(USERS == 7) & (rows != 4)] > 1e-4).all()
    assert moved[USERS != 7].max() < 1e-6
    assert_close(after.chosen[4], before.rejected[4])


@torch.no_grad()
def test_a_batch_holds_each_pair_in_its_own_row(model):
    labels = Labels(pairs=some_pairs())
    data, rows = labels.data(UserPairScores), torch.tensor([8, 3, 0])
    batch = data.batch(model, rows, data.reference_logps(None))
    for side in ("chosen", "rejected"):
        base, slope, _ = model.read(getattr(labels.pairs, side)[rows])
        assert_close(getattr(batch, side), base, atol=1e-5, rtol=0)
        assert_close(getattr(batch, f"slope_{side}"), slope, atol=1e-5, rtol=0)
    assert batch.pairs.tolist() == [1, 2, 9]
    # user 5 has no other pair: nothing is known of the taste
    assert batch.mean[0].abs().max() == batch.log_std[0].abs().max() == 0
    # user −2 has one other pair, row 11
    one = model.taste_of(labels.pairs[torch.tensor([11])])
    assert_close(batch.mean[1], one[0], atol=1e-5, rtol=0)
    assert_close(batch.log_std[1], one[1], atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_is_drawn_follows_from_the_rows_alone(model):
    data, rows = UserPairs(some_pairs(), 2), torch.arange(16)
    one, again = data.batch(model, rows), data.batch(model, rows)
    assert all(torch.equal(v, vars(again)[k]) for k, v in vars(one).items())
    other = data.batch(model, rows.flip(0))
    assert not torch.equal(other.noise.flip(0), one.noise)
    assert not torch.equal(other.mean.flip(0), one.mean)
    noise = [data.batch(model, rows.roll(i)).noise for i in range(16)]
    assert abs(torch.stack(noise).mean()) < 0.15
    assert abs(torch.stack(noise).std() - 1) < 0.1


def test_scores_by_hand():
    """φ = 3 and 1, z = 0.5 + e^log_std·ε; a wild log-deviation is cut."""
    one, wide = torch.ones(2), torch.ones(2, 1)
    batch = UserPairScores(
        chosen=2 * one, rejected=one, slope_chosen=3 * wide, slope_rejected=wide,
        mean=wide / 2, log_std=torch.tensor([[0.0], [900.0]]), noise=2 * wide,
        pairs=one,
    )  # fmt: skip
    assert batch.log_deviation.flatten().tolist() == [0, LIMIT]
    assert batch.sample()[0].item() == 2.5
    assert batch.margin(batch.sample())[0].item() == 6
    assert batch.margin(batch.mean).tolist() == [2, 2]
    assert batch.swapped().margin(batch.mean).tolist() == [-2, -2]


def test_pairs_without_users_are_refused_in_a_sentence():
    with pytest.raises(MissingInput, match="which user judged"):
        Labels(pairs=replace(some_pairs(), columns={})).data(UserPairScores)
