"""Wrong masks and wrong starts, as public code has them: to be seen beside the right.

Each function takes the tokens of responses and returns them as the fault makes them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from workbench.core.tokens import Tokens
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.records import PreferenceRecord, text_of


def prompt_counted(tokens: Tokens) -> Tokens:
    """Prompt tokens count as if the policy had written them; the first has no odds."""
    mask = tokens.attention.clone()
    mask[:, 0] = False
    return replace(tokens, mask=mask)


def end_left_out(tokens: Tokens, ends: Sequence[int]) -> Tokens:
    """The token that ends a turn does not count, nor anything after it.

    Args:
        tokens: responses.
        ends: tokens that end a turn.
    """
    is_end = torch.isin(tokens.ids, torch.tensor(list(ends))) & tokens.mask
    return replace(tokens, mask=tokens.mask & (is_end.cumsum(-1) == 0))


def start_doubled(tokens: Tokens, start: int) -> Tokens:
    """A beginning of text before a text that has begun already.

    Args:
        tokens: responses with their prompts.
        start: the token that begins a text.
    """

    def behind(values: torch.Tensor, first: int | bool) -> torch.Tensor:
        return torch.cat([torch.full_like(values[:, :1], first), values], dim=1)

    return replace(
        tokens,
        ids=behind(tokens.ids, start),
        mask=behind(tokens.mask, False),
        attention=behind(tokens.attention, True),
    )


def of_pairs(pairs: Pairs, fault: Callable[..., Tokens], *more) -> Pairs:
    """Both sides of pairs with a fault.

    Args:
        pairs: as they should be.
        fault: one of this module's functions.
        more: its further arguments.
    """
    sides = [fault(side, *more) for side in (pairs.chosen, pairs.rejected)]
    return replace(pairs, chosen=sides[0], rejected=sides[1])


def without_template(record: PreferenceRecord) -> PreferenceRecord:
    """A conversation whose last question and answers are plain text."""
    asked = (
        record.prompt if isinstance(record.prompt, str) else record.prompt[-1].content
    )
    chosen, rejected = text_of(record.chosen), text_of(record.rejected)
    return replace(record, prompt=asked, chosen=chosen, rejected=rejected)
