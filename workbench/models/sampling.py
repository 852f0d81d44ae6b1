"""Writing token by token with a key-value cache."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
    from transformers import DynamicCache

    config, cache = policy.network.config, DynamicCache()
    ids = step = prompts.to(policy.ban.device)
    seen = torch.ones_like(ids, dtype=torch.bool)
    seen = seen if attention is None else attention.to(ids.device)
    mask = torch.zeros_like(seen)
    alive = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    for _ in range(max_new):
        padded = None if attention is None else seen.long()
        logits = _next_logits(policy, step, cache, seen, padded)
        if adjust is not None:
            logits = adjust(logits, ids)
        chance = (logits.double() / temperature).softmax(-1).cpu()
        drawn = torch.multinomial(chance, 1, generator=generator).to(ids.device)
        step = torch.where(alive[:, None], drawn, config.pad_token_id)
        ids = torch.cat([ids, step], dim=1)
        mask = torch.cat([mask, alive[:, None]], dim=1)
        seen = torch.cat([seen, alive[:, None]], dim=1)
        alive = alive & (step[:, 0] != config.eos_token_id)
        if not alive.any():
            break
    return ids.cpu(), mask.cpu()


def _next_logits(policy, step, cache, seen, padded) -> Float[Tensor, "batch vocab"]:
    """Logits after the last of ``step``, whose predecessors the cache holds."""
    position = (seen.long().cumsum(-1) - 1).clamp(min=0)[:, -step.shape[1] :]
    output = policy.network.model(
        input_ids=step,
        attention_mask=padded,
        past_key_values=cache,
        position_ids=position,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits[:, -1] + policy.ban
