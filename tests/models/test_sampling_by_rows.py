"""With a large vocabulary rows are drawn one by one: the draws are the same."""

import pytest
import torch

from workbench.models import picked, tiny
from workbench.models.sampling import sample
from workbench.worlds.reviews import Reviews


def drawn(monkeypatch, words: int, adjust=None):
    """Responses, and the state of the stream of random numbers after them."""
    monkeypatch.setattr(picked, "WORDS", words)
    world, stream = Reviews(max_words=3), torch.Generator().manual_seed(5)
    policy = tiny.reference(world)
    prompts = world.prompt_tokens.repeat(6, 1)
    ids, mask = sample(policy, prompts, 4, stream, 1.3, adjust=adjust)
    return ids, mask, stream.get_state()


@pytest.mark.parametrize("adjust", [None, lambda logits, ids: logits.flip(0)])
def test_rows_drawn_one_by_one_are_the_draws_of_the_whole_batch(monkeypatch, adjust):
    whole = drawn(monkeypatch, 2**20, adjust)
    alone = drawn(monkeypatch, 1, adjust)
    assert all(torch.equal(a, b) for a, b in zip(whole, alone, strict=True))
    ids, mask, _ = whole
    assert len(ids.unique(dim=0)) > 4 and mask.any(1).all()
