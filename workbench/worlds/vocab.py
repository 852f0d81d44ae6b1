"""Words and their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Vocab:
    """A closed vocabulary.

    Attributes:
        tokens: every token; its id is its place.
        pad: id of the padding token.
        eos: id of the end of sequence.
        forbidden: ids that no response may hold (padding, prompt words).
    """

    tokens: tuple[str, ...]
    pad: int
    eos: int
    forbidden: tuple[int, ...]

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token to id."""
        return {token: i for i, token in enumerate(self.tokens)}

    def encode(self, text: str) -> list[int]:
        """Ids of words separated by blanks.

        Raises:
            KeyError: a word is not in the vocabulary.
        """
        return [self.ids[word] for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        """Words of ids, without padding and end of sequence."""
        hidden = (self.pad, self.eos)
        return " ".join(self.tokens[i] for i in map(int, ids) if i not in hidden)
