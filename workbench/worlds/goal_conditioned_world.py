"""An exact world whose prompts also say how good the response is to be.

A prompt is a token for (prompt of the base world, goal). Responses and their gold are
those of the base world; the goal is a wish, and gold does not depend on it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.tokens import Tokens
from workbench.worlds.enumerated import Enumerated


class Goals(Enumerated):
    """A base world with every prompt asked at every goal.

    Prompt p with goal g has the number p · (number of goals) + g.

    Args:
        world: the base world.
        levels: the goals, reward units, in rising order.

    Raises:
        ValueError: the levels do not rise, or two of them read the same.
    """

    def __init__(self, world: Enumerated, levels: Sequence[float]):
        names = [f"{level:g}" for level in levels]
        if list(levels) != sorted(levels) or len(set(names)) < len(names):
            raise ValueError(f"the levels {list(levels)} do not rise, or read the same")
        self.base = world
        self.name = f"{world.name}-goals"
        self.words = world.words
        self.prompts = tuple(f"{p}@{name}" for p in world.prompts for name in names)
        self.levels = torch.tensor(levels, dtype=torch.float64)
        super().__init__(world.max_words)
        self.gold = self.repeated(world.gold)

    @property
    def n_goals(self) -> int:
        """Number of goals."""
        return len(self.levels)

    @property
    def base_prompt(self) -> Int[Tensor, " prompt"]:
        """The base world's prompt behind each prompt."""
        return torch.arange(self.n_prompts) // self.n_goals

    @property
    def goal(self) -> Float[Tensor, " prompt"]:
        """The goal that each prompt states, reward units."""
        return self.levels[torch.arange(self.n_prompts) % self.n_goals]

    def repeated(
        self, values: Float[Tensor, "base response"]
    ) -> Float[Tensor, "prompt response"]:
        """Values of the base world (rewards, log-probs) at every goal."""
        return values.repeat_interleave(self.n_goals, 0)

    def at(self, goal: int) -> Int[Tensor, " base"]:
        """The prompts that state one goal, given by its place; −1 is the highest."""
        return torch.arange(self.n_prompts).unflatten(0, (-1, self.n_goals))[:, goal]

    def nearest(self, scores: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """The place of the level nearest to each score; the lower of two as near."""
        return (scores.double()[..., None] - self.levels).abs().argmin(-1)

    def asked(self, tokens: Tokens, goal: Int[Tensor, " batch"]) -> Tokens:
        """Responses of the base world as answers to their prompt with a goal."""
        asked = self.tokens(tokens.prompt * self.n_goals + goal, tokens.response)
        return asked.padded(max(tokens.ids.shape[1], asked.ids.shape[1]))

    def goal_reward(
        self, scores: Float[Tensor, "base response"]
    ) -> Float[Tensor, "prompt response"]:
        """R(x, y, g) = −(g − s)²: how well a response meets the goal.

        Args:
            scores: s(x, y) of the base world's responses, reward units.
        """
        return -((self.goal[:, None] - self.repeated(scores.double())) ** 2)
