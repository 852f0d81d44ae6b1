"""Responses to prompts of different lengths, and how long a sequence may be."""

from typing import Any

import torch
from torch import Tensor

from workbench.core.tokens import Tokens
from workbench.models.sampling import sample

# Families have named the length of their position table differently over the years.
_LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "max_target_positions",
)
# They number positions from the one after the padding id, and lose the ones before it.
_AFTER_PADDING = {
    "camembert",
    "data2vec-text",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
}


def positions(config) -> int | None:
    """Tokens of the longest sequence that a model is made for, prompt and response.

    Args:
        config: a transformers configuration.

    Returns:
        the number of positions; None if the configuration names no limit.
    """
    if hasattr(config, "get_text_config"):  # a model of several parts
        config = config.get_text_config(decoder=True)
    for name in _LENGTHS:
        length = getattr(config, name, None)
        # XLNet says −1 for "no limit"
        if isinstance(length, int) and not isinstance(length, bool) and length > 0:
            lost = getattr(config, "model_type", "") in _AFTER_PADDING
            return length - (config.pad_token_id + 1 if lost else 0)
    return None


def respond(
    policy, prompts: list[list[int]], max_new: int, generator: torch.Generator
) -> Tokens:
    """Sample one response to each prompt.

    Args:
        policy: a Policy with one member.
        prompts: token ids of each prompt, at least one.
        max_new: a response ends with its end token or after this many tokens.
        generator: source of randomness, on the CPU.

    Returns:
        right-padded tokens; ``prompt`` is the place in the list.
    """
    pad = policy.network.signs.pad
    longest = max(map(len, prompts))
    # the sampler writes all rows in step, so prompts are aligned at their ends
    gap = torch.tensor([longest - len(prompt) for prompt in prompts])
    ids = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts])
    attention = torch.arange(longest) >= gap[:, None]
    written, mask = sample(policy, ids, max_new, generator, attention=attention)
    shifted = torch.arange(written.shape[1]) + gap[:, None]
    inside = shifted < written.shape[1]
    shifted = shifted.clamp(max=written.shape[1] - 1)

    def left(values: Tensor, empty: int) -> Tensor:
        return torch.where(inside, values.gather(1, shifted), empty)

    mask = left(mask, 0).bool()
    lead = torch.arange(written.shape[1]) < (longest - gap)[:, None]
    return Tokens(
        ids=left(written, pad),
        mask=mask,
        attention=lead | mask,
        prompt=torch.arange(len(prompts)),
        response=torch.full((len(prompts),), -1),
    )


def has_ended(policy, tokens: Tokens) -> Tensor:
    """Whether each sample has an end token, [sample]; the others were cut."""
    ends = torch.tensor(policy.network.signs.ends)
    return (torch.isin(tokens.ids, ends) & tokens.mask).any(-1)


def written(coder: Any, tokens: Tokens) -> list[str]:
    """What each response says, without special tokens.

    Args:
        coder: the tokenizer.
        tokens: prompts with responses; the prompts are left out.
    """
    return [
        coder.decode(ids[mask], skip_special_tokens=True)
        for ids, mask in zip(tokens.ids, tokens.mask, strict=True)
    ]


def prompts_of(tokens: Tokens) -> list[list[int]]:
    """Token ids of the prompt of each row."""
    lead = tokens.attention & (tokens.mask.cumsum(-1) == 0)
    return [row[keep].tolist() for row, keep in zip(tokens.ids, lead, strict=True)]
