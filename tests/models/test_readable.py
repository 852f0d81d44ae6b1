"""Tokens that a person can read: letters whole, blanks kept, nothing lost."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.models import families
from workbench.models.readable import pieces

CODER = families.coder("chatml")


def ids(text: str) -> list[int]:
    return CODER(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize("text", ["Paint it green, please.", "é 漢字 and 🙂!", " "])
def test_pieces_are_the_text_and_account_for_every_token(text):
    found = pieces(CODER, ids(text))
    assert "".join(word for word, _ in found) == text
    assert sum(size for _, size in found) == len(ids(text))
    assert not any("\N{REPLACEMENT CHARACTER}" in word for word, _ in found)


def test_a_letter_of_three_tokens_is_one_piece():
    assert pieces(CODER, ids("漢")) == [("漢", 3)]
    assert pieces(CODER, ids("漢")[:2])[0][1] == 2  # a cut letter is shown at the end


def test_a_blank_that_a_token_alone_would_lose_is_kept():
    """As SentencePiece tokenizers decode: "▁tea" alone is "tea"."""
    core = Tokenizer(models.WordLevel({"▁green": 0, "▁tea": 1}, unk_token="▁tea"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    coder = PreTrainedTokenizerFast(tokenizer_object=core)
    assert coder.decode([1]) == "tea"
    assert pieces(coder, [0, 1]) == [("green", 1), (" tea", 1)]


def test_nothing_has_no_pieces():
    assert pieces(CODER, []) == []
