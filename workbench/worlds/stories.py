"""Stories: a larger language whose truth is known but cannot be enumerated.

258 words, 16 to 48 of them per story, 96 prompts of a genre and a character. Gold
reward is a documented function of the tokens (``story_gold``); its expectation under a
policy is estimated from samples, so every number comes with its standard error.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core.statistics import interval
from workbench.core.tokens import Tokens
from workbench.worlds import story_gold
from workbench.worlds.registry import WorldCard
from workbench.worlds.story_author import Author
from workbench.worlds.story_words import GENRES, NAMES, lexicon


class Estimate(NamedTuple):
    """A mean estimated from samples.

    Attributes:
        mean: in the unit of the values.
        stderr: standard error of the mean.
        low: lower end of the 95 % interval.
        high: upper end.
        n: number of samples.
    """

    mean: float
    stderr: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float] | Tensor) -> Estimate:
    """Mean of independent samples with its standard error and 95 % interval.

    Raises:
        ValueError: fewer than two values have no interval.
    """
    data = torch.as_tensor(values, dtype=torch.float64).detach().flatten()
    mean, low, high = interval(data)
    stderr = data.std().item() / data.numel() ** 0.5
    return Estimate(mean, stderr, low, high, data.numel())


class Stories:
    """The language, its prompts, its gold reward and its author.

    Args:
        max_words: longest story; one of so many words ends by itself.
        min_words: shorter stories lose reward.

    Raises:
        ValueError: the two are no range, or leave no room for a sentence.
    """

    name = "stories"

    def __init__(self, max_words: int = 48, min_words: int = 16):
        if not 4 <= min_words <= max_words:
            raise ValueError(f"no stories of {min_words} to {max_words} words")
        self.max_words, self.min_words = max_words, min_words
        self.lexicon = lexicon()
        self.vocab = self.lexicon.vocab
        self.prompts = tuple(f"{g} {name}" for name in NAMES for g in GENRES)

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.prompts)

    @property
    def prompt_tokens(self) -> Int[Tensor, "prompt 2"]:
        """Genre and character of each prompt."""
        return torch.tensor([self.vocab.encode(prompt) for prompt in self.prompts])

    def text(self, ids: Sequence[int] | Int[Tensor, "time"]) -> str:
        """Words of token ids, without padding and end; none read ``(silence)``."""
        return self.vocab.decode(list(map(int, ids))) or "(silence)"

    def tokens(self, prompt: Int[Tensor, "batch"], texts: Sequence[str]) -> Tokens:
        """Stories given as words, with their end of sequence.

        Raises:
            ValueError: a story has more than ``max_words`` words.
            KeyError: a word is not of this language.
        """
        rows = [self.vocab.encode(text) for text in texts]
        longest = max(map(len, rows), default=0)
        if longest > self.max_words:
            raise ValueError(f"a story of {longest} words, more than {self.max_words}")
        words = torch.zeros(len(rows), max(longest, 1), dtype=torch.long)
        for row, ids in zip(words, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
        return self._as_tokens(prompt, words, torch.tensor([len(ids) for ids in rows]))

    def _as_tokens(self, prompt: Tensor, words: Tensor, length: Tensor) -> Tokens:
        words = torch.nn.functional.pad(words, (0, 1), value=self.vocab.pad)
        position = torch.arange(words.shape[1])
        ends = (position == length[:, None]) & (length < self.max_words)[:, None]
        words = torch.where(ends, self.vocab.eos, words)
        written = (position < length[:, None]) | ends
        lead = self.prompt_tokens[prompt]
        real = torch.ones_like(lead, dtype=torch.bool)
        return Tokens(
            ids=torch.cat([lead, torch.where(written, words, self.vocab.pad)], dim=1),
            mask=torch.cat([~real, written], dim=1),
            attention=torch.cat([real, written], dim=1),
            prompt=prompt,
            response=torch.full_like(prompt, -1),
        )

    def response_index(
        self, ids: Int[Tensor, "batch time"], mask: Bool[Tensor, "batch time"]
    ) -> Int[Tensor, "batch"]:
        """−1 for every row: stories are not enumerated."""
        return torch.full((len(ids),), -1)

    def attributes(
        self, tokens: Tokens, chunk: int = 2048
    ) -> dict[str, Float[Tensor, "batch"]]:
        """The terms of gold (sentiment, coherence, plot, fluency, length) of each row.

        They are read from the ids alone: the prompt's two tokens, then the words.
        """
        parts = [self._terms(tokens[r]) for r in torch.arange(len(tokens)).split(chunk)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _terms(self, tokens: Tokens) -> dict[str, Tensor]:
        ids = tokens.ids.cpu()
        words = ids[:, 2:]
        real = tokens.mask.cpu()[:, 2:] & (words != self.vocab.eos)
        genre, lead = ids[:, 0] - 2, ids[:, 1]
        return story_gold.terms(self.lexicon, genre, lead, words, real, self.min_words)

    def gold_reward(self, tokens: Tokens) -> Float[Tensor, "batch"]:
        """Gold reward of each row: the sum of its attributes, float64, on the CPU."""
        total = torch.stack(list(self.attributes(tokens).values())).sum(0)
        return total.round(decimals=story_gold.DIGITS)

    def corpus(self, n: int, generator: torch.Generator) -> Tokens:
        """``n`` stories of the hidden author, prompts in equal shares."""
        return self.written_for(torch.arange(n) % self.n_prompts, generator)

    def written_for(
        self, prompt: Int[Tensor, "batch"], generator: torch.Generator
    ) -> Tokens:
        """A story of the hidden author for each prompt."""
        lead = self.prompt_tokens[prompt]
        author = Author(self.lexicon, self.min_words, self.max_words)
        words, length = author.write(lead[:, 0] - 2, lead[:, 1], generator)
        return self._as_tokens(prompt, words, length)


# long answers need smaller steps, and cost more to measure
world_card = WorldCard(
    "stories",
    lambda max_words: Stories(),
    {
        "steps": 24, "batch_size": 16, "lr": 2e-4,
        "n_pairs": 192, "held_out_pairs": 64, "samples": 64,
    },
)  # fmt: skip
