"""Texts to tokens: begun once, ended once, by the signs of one tokenizer.

A plain text is ``<bos> prompt response <eos>``; both parts are tokenised apart. What
a chat template with signs of its own wrote is tokenised as a whole and left as it is.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.models.rendering import Rendered, bad, greeting, reason

Row = tuple[list[int], list[int]]  # the tokens of a prompt and of a response
# what chat templates of the field put around a turn
MARKS = re.compile(
    r"<\|[A-Za-z_]+\|>|\[/?INST\]|<start_of_turn>|<end_of_turn>|<</?SYS>>|</?s>"
)


def ends(tokenizer) -> tuple[int, ...]:
    """Tokens that end a response: EOS, and what its chat template ends a turn with."""
    closing = Writer(tokenizer).closing
    return tuple(dict.fromkeys([tokenizer.eos_token_id, *closing]))


@dataclass(frozen=True)
class Writer:
    """Texts to tokens, as one tokenizer wants them begun and ended.

    Args:
        tokenizer: of ``tokenizer.build`` or of a checkpoint.
        special: whether special tokens in a plain text are read as such.
    """

    tokenizer: Any
    special: bool = True

    @cached_property
    def start(self) -> list[int]:
        """What the tokenizer itself puts before a text, without an end of sequence."""
        bos = self.tokenizer.bos_token_id
        return [] if bos is None else [i for i in self._first if i == bos]

    @cached_property
    def _first(self) -> list[int]:
        return self.tokenizer("").input_ids[:1]

    @cached_property
    def closing(self) -> list[int]:
        """The token of its own with which the chat template ends a turn, if any.

        A base model that was taught a template later may have it among its added tokens
        and not among the special ones.
        """
        ids = self.ids(greeting(self.tokenizer)[1], special=True)
        own = {*self.signs.values(), *self.tokenizer.added_tokens_decoder}
        return [i for i in ids if i in own][:1]

    @cached_property
    def is_signed(self) -> bool:
        """Whether the chat template itself writes tokens of its own."""
        written = "".join(greeting(self.tokenizer))
        return bool(self.closing or self._sign.search(written))

    @cached_property
    def signs(self) -> dict[str, int]:
        """The special tokens by their text, but for those that blanks look like."""
        added = self.tokenizer.added_tokens_decoder.items()
        found = {str(token): i for i, token in added if token.special}
        for text in self.tokenizer.all_special_tokens:
            found.setdefault(text, self.tokenizer.convert_tokens_to_ids(text))
        return {text: i for text, i in found.items() if text.strip()}

    @cached_property
    def _sign(self) -> re.Pattern[str]:
        longest = sorted(self.signs, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest)) or r"(?!)")

    def ids(self, text: str, special: bool) -> list[int]:
        """A text as tokens, with nothing before or after it.

        Raises:
            BadCheckpoint: the tokenizer cannot write it.
        """
        try:
            coded = self.tokenizer(
                text, add_special_tokens=False, split_special_tokens=not special
            )
        except Exception as error:  # tokenizers raises bare exceptions
            raise bad(self.tokenizer, "cannot write a text", reason(error)) from error
        return list(coded.input_ids)

    def rows(self, rendered: Rendered) -> list[Row]:
        """The tokens of the prompt and of each answer; all see the same prompt."""
        special = self.special or rendered.by_template
        lead = self.ids(rendered.prompt, special)
        if not (rendered.by_template and self.is_signed):
            lead = self._begun(lead)
            answers = [self.ids(text, special) for text in rendered.answers]
            return [(lead, self._ended(ids, lead)) for ids in answers]
        wholes = [self.ids(rendered.prompt + a, True) for a in rendered.answers]
        if all(whole[: len(lead)] == lead for whole in wholes):
            answers = [whole[len(lead) :] for whole in wholes]
        else:  # a token would reach across the boundary
            answers = [self.ids(text, True) for text in rendered.answers]
        return [(lead, self._ended(ids, lead)) for ids in answers]

    def _begun(self, ids: list[int]) -> list[int]:
        """With the tokenizer's start, once; a response needs a token before it."""
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        whole = ids if ids[: len(self.start)] == self.start else self.start + ids
        return whole or [eos if bos is None else bos]

    def _ended(self, ids: list[int], lead: list[int]) -> list[int]:
        """With an end, once: the turn's, where the prompt is made of such turns."""
        eos = self.tokenizer.eos_token_id
        ending = [eos, *self.closing]
        last = next((i for i in reversed(ids) if not self._is_blank(i)), None)
        if last in ending:
            return ids
        rendered = self.closing and self.closing[0] in lead
        return [*ids, self.closing[0] if rendered else eos]

    def _is_blank(self, token: int) -> bool:
        return not self.tokenizer.decode([token]).strip()

    def notes(self, texts: Sequence[Rendered]) -> list[str]:
        """Sentences on signs that stand in the texts, and on what a template drops."""
        plain = [text for text in texts if not text.by_template]
        own, foreign = self._count(plain, self._sign), self._count(plain, MARKS)
        known = {*self.signs, *MARKS.findall("".join(greeting(self.tokenizer)))}
        foreign = {mark: n for mark, n in foreign.items() if mark not in known}
        told = []
        if own:
            how = "are read as such" if self.special else "are read as characters"
            other = "no reads them as characters" if self.special else "yes reads them"
            told.append(
                f"{max(own.values())} of {len(texts)} rows hold special tokens of the "
                f"tokenizer ({', '.join(own)}), which {how}; --special-tokens {other}"
            )
        if foreign:
            told.append(
                f"warning: {max(foreign.values())} of {len(texts)} rows hold marks of "
                f"a chat template ({', '.join(foreign)}) that are none of this "
                "tokenizer: they are read as characters"
            )
        lost = Counter(text.lost for text in texts if text.lost)
        for end, n in lost.most_common(1):
            told.append(
                f"the chat template writes {end!r} after a prompt alone and not after "
                f"one with an answer: it is left out ({n} of {len(texts)} rows)"
            )
        return told

    @staticmethod
    def _count(texts: Sequence[Rendered], sign: re.Pattern[str]) -> dict[str, int]:
        """In how many rows each sign stands, the most frequent four."""
        found: Counter[str] = Counter()
        for text in texts:
            parts = (text.prompt, *text.answers)
            found.update({mark for part in parts for mark in sign.findall(part)})
        return dict(found.most_common(4))
