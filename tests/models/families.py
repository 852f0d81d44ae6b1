"""Three small checkpoints of their own: how their families write a conversation.

chatml   <|im_start|>user … <|im_end|>; the end of turn is the EOS
gemma    <bos><start_of_turn>user … <end_of_turn>; the EOS is another token
inst     <s>[INST] … [/INST] answer</s>; a blank before the answer
bare     no template, no BOS, no padding
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from workbench.models import checkpoint

CHATML = (
    "{%- if tools %}{{ '<|im_start|>system\nTools: ' + (tools | tojson) }}"
    "{{ '<|im_end|>\n' }}{% endif -%}"
    "{%- for m in messages -%}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{%- if m.tool_calls %}{{ '<call>' + (m.tool_calls | tojson) }}{% endif -%}"
    "{{ '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif -%}"
)
GEMMA = (
    "{{ bos_token }}"
    "{%- if messages[0].role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif -%}"
    "{%- for m in messages -%}"
    "{%- set role = 'model' if m.role == 'assistant' else m.role -%}"
    "{{ '<start_of_turn>' + role + '\n' + (m.content | trim) + '<end_of_turn>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif -%}"
)
INST = (
    "{{ bos_token }}"
    "{%- for m in messages -%}"
    "{%- if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{%- elif m.role == 'assistant' %}{{ ' ' + (m.content | trim) + eos_token }}"
    "{%- else %}{{ raise_exception('Only user and assistant roles') }}{% endif -%}"
    "{%- endfor -%}"
)
WORDS = (
    "Name a colour for the cup. The cup is green. Paint it green, please. "
    "Say one thing about tea. People like tea a lot. I have nothing on tea. "
    "user assistant system model tools call look up word Answer like a pirate"
)
SIGNS = {
    "chatml": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "gemma": ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"],
    "inst": ["<unk>", "<s>", "</s>"],
    "bare": ["<|endoftext|>"],
}
NAMED = {
    "chatml": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
               "chat_template": CHATML},
    "gemma": {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>",
              "chat_template": GEMMA},
    "inst": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
             "chat_template": INST},
    "bare": {"eos_token": "<|endoftext|>"},
}  # fmt: skip
FAMILIES = ("chatml", "gemma", "inst")


def coder(family: str) -> PreTrainedTokenizerFast:
    """The family's tokenizer: bytes and a few hundred merges."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SIGNS[family],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator([WORDS], trainer)
    if bos := NAMED[family].get("bos_token"):
        core.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B",
            special_tokens=[(bos, core.token_to_id(bos))],
        )  # fmt: skip
    others = set(SIGNS[family]) - set(NAMED[family].values())
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=sorted(others),
        **NAMED[family],
    )


def model(family: str, made: PreTrainedTokenizerFast, positions: int = 256):
    """The family's decoder, of two layers."""
    torch.manual_seed(0)
    shared = {"vocab_size": len(made), "eos_token_id": made.eos_token_id}
    llama = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": positions,
    }  # fmt: skip
    if family == "chatml":
        return Qwen2ForCausalLM(
            Qwen2Config(**shared, **llama, tie_word_embeddings=True)
        )
    if family == "gemma":
        shared |= {"bos_token_id": made.bos_token_id, "pad_token_id": 0}
        ends = made.convert_tokens_to_ids(["<eos>", "<end_of_turn>"])
        config = Gemma2Config(**shared | {"eos_token_id": ends}, **llama, head_dim=16)
        return Gemma2ForCausalLM(config)
    if family == "inst":
        shared |= {"bos_token_id": made.bos_token_id}
        return LlamaForCausalLM(LlamaConfig(**shared, **llama))
    config = GPT2Config(**shared, n_embd=32, n_layer=2, n_head=2, n_positions=positions)
    return GPT2LMHeadModel(config)


def save(family: str, folder, dtype: torch.dtype = torch.float32, positions: int = 256):
    """A checkpoint of the family in a folder."""
    made = coder(family)
    made.save_pretrained(folder)
    model(family, made, positions).to(dtype).save_pretrained(folder)
    return folder


def save_two(family: str, root: Path) -> Any:
    """``root/reference``, and ``root/policy`` with other weights; the tokenizer."""
    save(family, root / "reference")
    policy, made = checkpoint.load(root / "reference")
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in policy.parameters():
            weights += 0.02 * torch.randn_like(weights)
    policy.save(root / "policy")
    made.save_pretrained(root / "policy")
    return made
