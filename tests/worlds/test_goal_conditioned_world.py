"""Prompts with goals: numbers, tokens and rewards against those of the base world."""

import pytest
import torch
from torch.testing import assert_close

from workbench.core.seeds import generator
from workbench.worlds.goal_conditioned_world import Goals
from workbench.worlds.reviews import Reviews

BASE = Reviews(max_words=2)
WORLD = Goals(BASE, (-1.0, 0.5, 3.0))
EVERY = torch.arange(WORLD.n_prompts)


def test_every_prompt_is_asked_at_every_goal():
    assert WORLD.n_prompts == 3 * BASE.n_prompts
    assert WORLD.n_responses == BASE.n_responses
    assert WORLD.prompts[1] == f"{BASE.prompts[0]}@0.5"
    assert WORLD.base_prompt[:6].tolist() == [0, 0, 0, 1, 1, 1]
    assert WORLD.goal[:4].tolist() == [-1.0, 0.5, 3.0, -1.0]
    assert WORLD.at(0)[:2].tolist() == [0, 3] and WORLD.at(-1)[:2].tolist() == [2, 5]
    assert len(set(WORLD.vocab.tokens)) == len(WORLD.vocab.tokens)


def test_gold_is_that_of_the_base_prompt_whatever_the_goal():
    assert_close(WORLD.gold, BASE.gold[WORLD.base_prompt])


def test_responses_keep_their_numbers_and_texts():
    tokens = WORLD.tokens(EVERY, EVERY)
    assert_close(WORLD.response_index(tokens.ids, tokens.mask), EVERY)
    assert [WORLD.text(n) for n in range(9)] == [BASE.text(n) for n in range(9)]


def test_asked_changes_the_prompt_alone():
    tokens = BASE.draw(torch.zeros_like(BASE.gold), 20, generator(0)).padded(9)
    goal = torch.arange(20) % 3
    asked = WORLD.asked(tokens, goal)
    assert_close(asked.response, tokens.response)
    assert_close(WORLD.base_prompt[asked.prompt], tokens.prompt)
    assert_close(WORLD.goal[asked.prompt], WORLD.levels[goal])
    assert (asked.mask == tokens.mask).all()
    for one, other in zip(asked.ids.tolist(), tokens.ids.tolist(), strict=True):
        prompt, *words = WORLD.vocab.decode(one).split()
        base, *base_words = BASE.vocab.decode(other).split()
        assert prompt.split("@")[0] == base and words == base_words


def test_nearest_level_and_ties_go_down():
    scores = torch.tensor([[-9.0, -0.3], [-0.25, -0.2], [1.75, 99.0]])
    assert WORLD.nearest(scores).tolist() == [[0, 0], [0, 1], [1, 2]]


def test_goal_reward_is_minus_the_squared_distance():
    reward = WORLD.goal_reward(BASE.gold)
    assert reward.max() <= 0
    by_hand = -((3.0 - BASE.gold[1, 8].item()) ** 2)
    assert reward[5, 8].item() == pytest.approx(by_hand)


@pytest.mark.parametrize("levels", [(1.0, 0.0), (1.0, 1.0), (0.0, 1.0, 1.0 + 1e-9)])
def test_levels_must_rise_and_read_differently(levels):
    with pytest.raises(ValueError, match="do not rise, or read the same"):
        Goals(BASE, levels)
