"""Tokens as a person reads them: no half letters, and blanks where they stand."""

from collections.abc import Sequence
from typing import Any

HALF = "\N{REPLACEMENT CHARACTER}"  # what a part of a letter is decoded as


def pieces(tokenizer: Any, ids: Sequence[int]) -> list[tuple[str, int]]:
    """A response in pieces that can be read.

    A token alone may be a part of a letter, and some tokenizers drop its blank; so a
    piece is what each token adds to the text before it. Tokens that make up one letter
    are one piece.

    Args:
        tokenizer: of the ids.
        ids: tokens of one response.

    Returns:
        (text, number of tokens) of each piece, in order; the numbers add up.
    """
    found: list[tuple[str, int]] = []
    before, waiting = "", 0
    for end in range(1, len(ids) + 1):
        whole = tokenizer.decode(ids[:end], clean_up_tokenization_spaces=False)
        waiting += 1
        if whole.endswith(HALF) and end < len(ids):
            continue
        fits = whole.startswith(before)
        alone = tokenizer.decode(ids[end - waiting : end])
        found.append((whole[len(before) :] if fits else alone, waiting))
        before, waiting = whole, 0
    return found
