"""A small language whose responses are all known: every expectation is a sum.

A world of this kind says which prompts and words there are; texts, tokens, numbers and
draws follow. ``Reviews`` is the one to study, ``probes`` holds smaller ones.
"""

from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.tokens import Tokens
from workbench.worlds.tree import PrefixTree
from workbench.worlds.vocab import Vocab


class Enumerated:
    """All responses of at most ``max_words`` words to a few prompts.

    A subclass sets ``name``, ``prompts``, ``words`` and ``gold``.

    Args:
        max_words: longest response.
    """

    name: str
    prompts: tuple[str, ...]
    words: tuple[str, ...]
    gold: Float[Tensor, "prompt response"]

    def __init__(self, max_words: int):
        self.max_words = max_words
        self.tree = PrefixTree(len(self.words), max_words)
        self._first_word = 2 + len(self.prompts)
        self.vocab = Vocab(
            tokens=("<pad>", "<eos>", *self.prompts, *self.words),
            pad=0,
            eos=1,
            forbidden=(0, *range(2, self._first_word)),
        )

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.prompts)

    @property
    def n_responses(self) -> int:
        """Number of responses per prompt."""
        return self.tree.n_responses

    @property
    def prompt_tokens(self) -> Int[Tensor, "prompt 1"]:
        """The token that stands for each prompt."""
        return torch.arange(2, self._first_word)[:, None]

    @property
    def action_ids(self) -> Int[Tensor, " action"]:
        """Token ids of the tree's actions: the words, then the end."""
        words = torch.arange(self._first_word, self._first_word + len(self.words))
        return torch.cat([words, torch.tensor([self.vocab.eos])])

    @cached_property
    def n_words(self) -> Int[Tensor, " response"]:
        """Words in each response."""
        return self.tree.n_response_words

    def text(self, response: int) -> str:
        """The words of a response; the empty one reads ``(silence)``."""
        length = int(self.n_words[response])
        code = response - self.tree.offset(length)
        base = len(self.words)
        digits = [code // base**k % base for k in range(length - 1, -1, -1)]
        return " ".join(self.words[d] for d in digits) or "(silence)"

    def index(self, text: str) -> int:
        """The number of a response given as words.

        Raises:
            ValueError: a word is not of this language, or there are too many.
        """
        words = [] if text == "(silence)" else text.split()
        if len(words) > self.max_words:
            raise ValueError(f"{text!r} has more than {self.max_words} words")
        return self.tree.index([self.words.index(word) for word in words])

    def tokens(
        self,
        prompt: Int[Tensor, " batch"],
        response: Int[Tensor, " batch"],
    ) -> Tokens:
        """Responses as token sequences ``[prompt word][words …][end]``.

        A response of ``max_words`` words has no end token: it ends by itself.
        """
        _, actions = self.tree.paths(response)
        written = actions >= 0
        body = torch.where(written, self.action_ids[actions], self.vocab.pad)
        lead = self.prompt_tokens[prompt]
        real = torch.ones_like(lead, dtype=torch.bool)
        return Tokens(
            ids=torch.cat([lead, body], dim=1),
            mask=torch.cat([~real, written], dim=1),
            attention=torch.cat([real, written], dim=1),
            prompt=prompt,
            response=response,
        )

    def response_index(
        self, ids: Int[Tensor, "batch time"], mask
    ) -> Int[Tensor, " batch"]:
        """The number of each sampled response, given its tokens."""
        code = torch.zeros(len(ids), dtype=torch.long)
        length = torch.zeros(len(ids), dtype=torch.long)
        for t in range(ids.shape[1]):
            word = mask[:, t] & (ids[:, t] >= self._first_word)
            digit = ids[:, t] - self._first_word
            code = torch.where(word, code * len(self.words) + digit, code)
            length = length + word
        starts = torch.tensor([self.tree.offset(n) for n in range(self.max_words + 1)])
        return starts[length] + code

    def gold_reward(self, tokens: Tokens) -> Float[Tensor, " batch"]:
        """Gold reward of each row."""
        return self.gold[tokens.prompt, tokens.response]

    def draw_for(
        self,
        logps: Float[Tensor, "prompt response"],
        prompt: Int[Tensor, " batch"],
        generator: torch.Generator,
    ) -> Tokens:
        """One response to each prompt from a distribution over all of them."""
        response = torch.empty_like(prompt)
        for p, probs in enumerate(logps.double().exp()):
            rows = prompt == p
            response[rows] = _draw(probs, int(rows.sum()), generator)
        return self.tokens(prompt, response)

    def draw(
        self,
        logps: Float[Tensor, "prompt response"],
        n: int,
        generator: torch.Generator,
    ) -> Tokens:
        """``n`` responses drawn from a distribution, prompts in equal shares."""
        return self.draw_for(logps, torch.arange(n) % self.n_prompts, generator)


def _draw(probs: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Independent draws by inverting the cumulative distribution, in float64."""
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    edges = probs.cumsum(0)
    return torch.searchsorted(edges, uniform * edges[-1]).clamp(max=len(probs) - 1)
