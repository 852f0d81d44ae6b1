"""The exact world: reviews of a film, its plot, its cast or its music.

Eight words, at most ``max_words`` of them: 585, 4,681 or 37,449 responses a prompt for
3, 4 or 5 words. A policy is evaluated on all of them, so every expectation below is a
sum and no estimate.
"""

from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core.batches import Tokens
from workbench.worlds import gold
from workbench.worlds.author import all_author_logps
from workbench.worlds.tree import PrefixTree
from workbench.worlds.vocab import Vocab


class Reviews:
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
        self.max_words = max_words
        self.tree = PrefixTree(len(self.words), max_words)
        self.vocab = Vocab(
            tokens=("<pad>", "<eos>", *self.prompts, *self.words),
            pad=0,
            eos=1,
            forbidden=(0, 2, 3, 4, 5),
        )
        self._first_word = 2 + len(self.prompts)

    @property
    def n_prompts(self) -> int:
        """Number of prompts."""
        return len(self.prompts)

    @property
    def n_responses(self) -> int:
        """Number of responses a prompt."""
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
        return self.attributes["sentiment"] + self.attributes["fluency"]

    @cached_property
    def author(self) -> Float[Tensor, "prompt response"]:
        """Log-probability of every response under the hidden author, in nats."""
        return all_author_logps(self.tree)

    def text(self, response: int) -> str:
        """The words of a response; the empty review reads ``(silence)``."""
        length = int(self.n_words[response])
        code = response - self.tree.offset(length)
        digits = [code // 8**k % 8 for k in range(length - 1, -1, -1)]
        return " ".join(self.words[d] for d in digits) or "(silence)"

    def index(self, text: str) -> int:
        """The number of a review given as words.

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
        """One response to each prompt from a law over all of them."""
        response = torch.empty_like(prompt)
        for p, law in enumerate(logps.double().exp()):
            rows = prompt == p
            response[rows] = _draw(law, int(rows.sum()), generator)
        return self.tokens(prompt, response)

    def draw(
        self,
        logps: Float[Tensor, "prompt response"],
        n: int,
        generator: torch.Generator,
    ) -> Tokens:
        """``n`` responses from a law over all of them, prompts in equal shares."""
        return self.draw_for(logps, torch.arange(n) % self.n_prompts, generator)

    def corpus(self, n: int, generator: torch.Generator) -> Tokens:
        """``n`` reviews of the hidden author, prompts in equal shares."""
        return self.draw(self.author, n, generator)


def _draw(law: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Independent draws by inverting the cumulative law, in float64."""
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    edges = law.cumsum(0)
    return torch.searchsorted(edges, uniform * edges[-1]).clamp(max=len(law) - 1)
