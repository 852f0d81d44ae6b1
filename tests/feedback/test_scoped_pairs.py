"""Chosen responses fulfil the wish; prompts and distributions are right."""

import torch
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.feedback.kinds.scoped_pairs import sample_scoped
from workbench.worlds.reviews import Reviews

WORLD = Reviews(max_words=2)
LOGPS = WORLD.author.double()
WISH = torch.tensor(["fun" in WORLD.text(y).split() for y in range(WORLD.n_responses)])
SCOPE, OUTSIDE, NEAR = (0,), (2, 3), (1,)


def made(n=60, seed=0):
    prompts = (SCOPE, OUTSIDE, NEAR)
    return sample_scoped(WORLD, LOGPS, WISH, n, generator(seed), prompts)


def test_the_chosen_fulfil_the_wish_and_the_rejected_do_not():
    data = made()
    assert WISH[data.pairs.chosen.response].all()
    assert not WISH[data.pairs.rejected.response].any()


def test_prompts_are_taken_in_turn():
    data = made(5)
    assert data.pairs.chosen.prompt.tolist() == [0] * 5
    assert data.pairs.rejected.prompt.tolist() == [0] * 5
    assert data.outside.prompt.tolist() == [2, 3, 2, 3, 2]
    assert data.near.prompt.tolist() == [1] * 5


def test_every_side_follows_its_distribution():
    n = 20_000
    data = made(n, seed=1)
    for keep, tokens in ((WISH, data.pairs.chosen), (~WISH, data.pairs.rejected)):
        probs = torch.where(keep, LOGPS[0], -torch.inf).softmax(-1)
        share = torch.bincount(tokens.response, minlength=len(probs)).double() / n
        assert_close(share, probs, atol=0.015, rtol=0)
    share = torch.bincount(data.near.response, minlength=len(LOGPS[1])).double() / n
    assert_close(share, LOGPS[1].exp(), atol=0.015, rtol=0)
    cast = data.outside.response[data.outside.prompt == 2]
    share = torch.bincount(cast, minlength=len(LOGPS[2])).double() / len(cast)
    assert_close(share, LOGPS[2].exp(), atol=0.02, rtol=0)
