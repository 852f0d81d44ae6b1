"""The exact world: reviews of a film, its plot, its cast or its music.

Eight words, at most ``max_words`` of them: 585, 4,681 or 37,449 responses per prompt
for 3, 4 or 5 words. A policy is evaluated on all of them, so every expectation below
is a sum and no estimate.
"""

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.tokens import Tokens
from workbench.worlds import gold, people
from workbench.worlds.author import all_author_logps
from workbench.worlds.enumerated import Enumerated
from workbench.worlds.registry import WorldCard


class Reviews(Enumerated):
    """All reviews of at most ``max_words`` words, their gold reward and their author.

    Args:
        max_words: longest review, 2 to 5.

    Raises:
        ValueError: ``max_words`` is outside 1 to 5; six words are 299,593 reviews.
    """

    name = "reviews"
    prompts = gold.PROMPTS
    words = gold.WORDS

    def __init__(self, max_words: int = 3):
        if not 1 <= max_words <= 5:
            raise ValueError(f"max_words is 1 to 5, not {max_words}")
        super().__init__(max_words)

    @cached_property
    def attributes(self) -> dict[str, Float[Tensor, "prompt response"]]:
        """Sentiment, fluency, brevity and colour of every response, reward units."""
        per_prompt = []
        for prompt in self.prompts:
            levels = [
                gold.attributes(self.tree.words(n), prompt)
                for n in range(self.max_words + 1)
            ]
            per_prompt.append(
                {k: torch.cat([level[k] for level in levels]) for k in levels[0]}
            )
        return {k: torch.stack([p[k] for p in per_prompt]) for k in per_prompt[0]}

    @cached_property
    def gold(self) -> Float[Tensor, "prompt response"]:
        """The gold reward of every response: sentiment plus fluency."""
        total = self.attributes["sentiment"] + self.attributes["fluency"]
        return total.round(decimals=gold.DIGITS)

    @cached_property
    def author(self) -> Float[Tensor, "prompt response"]:
        """Log-probability of every response under the hidden author, in nats."""
        return all_author_logps(self.tree)

    def corpus(self, n: int, generator: torch.Generator) -> Tokens:
        """``n`` reviews of the hidden author, prompts in equal shares."""
        return self.draw(self.author, n, generator)


# small models on short answers learn fast
world_card = WorldCard(
    "reviews",
    lambda max_words: Reviews(3 if max_words is None else max_words),
    {"steps": 100, "batch_size": 32, "lr": 1e-3},
    tastes=people.rewards,
)
