"""Writing token by token with a key-value cache, by transformers' own ``generate``.

``generate`` keeps the cache, the positions and the masks of whatever model it is given;
what is drawn, and with which random numbers, is decided here.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.models import picked


@torch.no_grad()
def sample(
    policy,
    prompts: Int[Tensor, "batch prompt"],
    max_new: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    attention: Bool[Tensor, "batch prompt"] | None = None,
    adjust=None,
) -> tuple[Int[Tensor, "batch time"], Bool[Tensor, "batch time"]]:
    """Sample a response to each prompt, all rows in step.

    Args:
        policy: a Policy with one member.
        prompts: token ids; prompts of different lengths are LEFT-padded.
        max_new: a response ends with its end token or after this many tokens.
        generator: source of randomness, on the CPU.
        temperature: logits are divided by it; other than 1 the samples are not the
            policy's own and estimates from them are biased.
        attention: False on left padding; None if there is none.
        adjust: ``(logits, written) -> logits``, a decoder's say in the next token.

    Returns:
        ids [prompt, response, padding] and the mask of response tokens.
    """
    from transformers import GenerationConfig, LogitsProcessorList

    model, signs = policy.network.model, policy.network.signs
    prompts = prompts.to(policy.ban.device)
    seen = torch.ones_like(prompts) if attention is None else attention.to(prompts)

    def draw(ids: Tensor, logits: Tensor) -> Float[Tensor, "batch vocab"]:
        """All mass on the drawn token, which a greedy ``generate`` then takes."""
        # in place, here and below: ``generate`` hands over a copy of its own
        logits += policy.ban
        wanted = logits if adjust is None else adjust(logits, ids)
        drawn = [
            torch.multinomial(_chances(row, temperature), 1, generator=generator)
            for row in _pieces(wanted)
        ]
        taken = torch.cat(drawn).to(logits.device)
        return logits.fill_(-torch.inf).scatter_(1, taken, 0.0)

    with _neutral(model):
        ids = model.generate(
            input_ids=prompts,
            attention_mask=seen,
            logits_processor=LogitsProcessorList([draw]),
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=max_new,
                pad_token_id=signs.pad,
                eos_token_id=list(signs.ends),
            ),
        )
    return ids.cpu(), _written(ids.cpu(), prompts.shape[1], signs.ends)


def _pieces(logits: Float[Tensor, "batch vocab"]) -> tuple[Tensor, ...]:
    """Rows one by one where the vocabulary is large: the draws are the same.

    ``multinomial`` takes its random numbers row by row, and float64 copies of a whole
    batch of large rows would be the largest thing in memory besides the model.
    """
    return logits.split(1 if logits.shape[-1] >= picked.WORDS else len(logits))


def _chances(
    logits: Float[Tensor, "batch vocab"], temperature: float
) -> Float[Tensor, "batch vocab"]:
    """Probabilities of the next token, float64 on the CPU."""
    return (logits.double() / temperature).softmax(-1).cpu()


def _written(
    ids: Tensor, prompt: int, ends: tuple[int, ...]
) -> Bool[Tensor, "batch time"]:
    """True on the tokens of the response, its end token included."""
    ended = torch.isin(ids, torch.tensor(ends)).int()
    ended[:, :prompt] = 0
    mask = ended.cumsum(-1) - ended == 0
    mask[:, :prompt] = False
    return mask


@contextmanager
def _neutral(model) -> Iterator[None]:
    """Without a checkpoint's own generation settings, such as a repetition penalty:
    a sample must be the policy's own."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own
