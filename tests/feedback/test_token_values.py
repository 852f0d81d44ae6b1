"""Values of tokens along rated responses: what follows a token, who says what."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from workbench.core.errors import MissingInput
from workbench.core.fields import declared
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.scored_prefixes import (
    FinishedResponses,
    ScoredResponses,
    ValueRollouts,
)
from workbench.feedback.kinds.token_values import TokenResponses, TokenValues
from workbench.feedback.labels import collect_labels
from workbench.models import tiny
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)


@pytest.fixture(scope="module")
def labels():
    return collect_labels(WORLD, tiny.reference(WORLD), 8, Annotator(), generator(0))


class Counting:
    """A critic that says 100·(row) + column of everything, and of token a adds a/10."""

    def before(self, tokens):
        row = torch.arange(len(tokens))[:, None]
        v = (100.0 * row + torch.arange(tokens.ids.shape[1])).requires_grad_()
        q = v[..., None, None] + torch.arange(len(WORLD.vocab.tokens)) / 10
        return SimpleNamespace(q=q, target=q + 1000, v=v)

    def values(self, tokens):
        """The number of each place, on places that count."""
        place = torch.arange(tokens.ids.shape[1]).expand(tokens.ids.shape)
        return torch.where(tokens.mask, place.float(), 0.0)


def test_what_follows_a_token_by_hand():
    """V = 10, 11, …; a turn of others between columns 2 and 4 is no choice."""
    v = torch.arange(10.0, 16).expand(2, -1)
    mask = torch.tensor([[0, 1, 1, 0, 1, 0], [0, 1, 0, 0, 0, 0]]).bool()
    q = torch.zeros(2, 6, 1, 3)
    taken = torch.zeros(2, 6, dtype=torch.long)
    scores = torch.tensor([5.0, -2.0])
    batch = TokenValues(q, v, q[..., 0], taken, mask, scores)
    assert batch.next_v[mask].tolist() == [12, 14, 0, 0]
    assert batch.rewards.tolist() == [[0, 0, 0, 0, 5, 0], [0, -2, 0, 0, 0, 0]]


def test_q_of_the_token_that_was_written():
    batch = TokenValues.example(generator(1))
    for row, column in batch.mask.nonzero():
        token = batch.taken[row, column]
        assert_close(batch.taken_q[row, column], batch.q[row, column, :, token])


def test_both_responses_of_each_pair_are_rated(labels):
    data = labels.data(TokenValues)
    chosen, rejected = labels.utilities
    assert (data.scores[:8] == chosen).all() and (data.scores[8:] == rejected).all()
    assert (data.tokens.response[8:] == labels.pairs.rejected.response).all()
    assert len(data) == len(data.weight) == 16
    with pytest.raises(MissingInput, match="scores"):
        dataclasses.replace(labels, utilities=None).data(TokenValues)


def test_a_batch_holds_what_the_critic_says_of_its_rows(labels):
    data, rows = labels.data(TokenValues), torch.tensor([9, 2])
    batch, tokens = data.batch(Counting(), rows, None), data.tokens[rows]
    place = 100.0 * torch.arange(2)[:, None] + torch.arange(tokens.ids.shape[1])
    assert_close(batch.v, place)
    assert_close(batch.taken_q[..., 0], place + tokens.ids / 10)
    assert_close(batch.target, batch.taken_q.detach() + 1000)
    assert batch.q.requires_grad and not batch.target.requires_grad
    assert_close(batch.scores.double(), data.scores[rows], atol=1e-6, rtol=1e-6)
    assert (batch.mask == tokens.mask).all()


def test_data_sets_of_several_seeds_lie_below_each_other(labels):
    one = labels.data(TokenValues)
    both = TokenResponses.cat([one, one])
    assert isinstance(both, TokenResponses)
    assert len(both) == 32 and (both.scores[16:] == one.scores).all()


def test_every_field_is_declared():
    roles = {name: one.role for name, one in declared(TokenValues).items()}
    assert roles == {
        "q": "learned", "v": "learned", "target": "frozen", "taken": "constant",
        "mask": "mask", "scores": "constant",
    }  # fmt: skip
    assert not any(one.logps for one in declared(TokenValues).values())


def test_a_finished_response_counts_as_one_more_prefix(labels):
    """'good' has two tokens with its end, 'good fun' two words: both three prefixes."""
    texts = [WORLD.index(text) for text in ("(silence)", "good", "good fun")]
    tokens = WORLD.tokens(torch.zeros(3, dtype=torch.long), torch.tensor(texts))
    scores, rows = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2, 0, 1])
    plain = ScoredResponses(tokens, scores).batch(Counting(), rows, None)
    assert plain.values.tolist() == [[0, 1, 2], [0, 1, 0], [0, 1, 2]]
    more = FinishedResponses(tokens, scores).batch(Counting(), rows, None)
    assert more.values.tolist() == [[0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 2, 3]]
    assert more.rewards.tolist() == [[0, 0, 0, 3], [0, 0, 1, 0], [0, 0, 0, 2]]
    assert isinstance(labels.data(ValueRollouts), FinishedResponses)
