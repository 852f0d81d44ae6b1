"""Small GGUF files, written as llama.cpp's converter writes them."""

import json

import torch
from gguf import GGUFWriter
from transformers import LlamaConfig, LlamaForCausalLM

HEADS, GROUPS = 4, 2
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def small(coder) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(coder), hidden_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=HEADS, num_key_value_heads=GROUPS,
        max_position_embeddings=128, tie_word_embeddings=True, rms_norm_eps=1e-6,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def rotated(weights: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp turns neighbours, transformers the two halves of a head."""
    halves = weights.reshape(heads, 2, -1, weights.shape[1])
    return halves.transpose(1, 2).reshape(weights.shape)


def write(path, model, coder, pre="smollm"):
    """The model as llama.cpp's ``convert_hf_to_gguf`` writes it, in float32."""
    config, out = model.config, GGUFWriter(path, "llama")
    out.add_block_count(config.num_hidden_layers)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(HEADS)
    out.add_head_count_kv(GROUPS)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    out.add_vocab_size(config.vocab_size)
    core = json.loads(coder.backend_tokenizer.to_str())
    vocab = coder.get_vocab()
    signs = {entry["content"] for entry in core["added_tokens"]}
    tokens = sorted(vocab, key=vocab.__getitem__)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre(pre)
    out.add_token_list(tokens)
    out.add_token_types([3 if token in signs else 1 for token in tokens])
    out.add_token_merges([" ".join(pair) for pair in core["model"]["merges"]])
    out.add_eos_token_id(coder.eos_token_id)
    out.add_pad_token_id(coder.pad_token_id)
    out.add_chat_template(coder.chat_template)
    weights = model.state_dict()
    out.add_tensor("token_embd.weight", weights["model.embed_tokens.weight"].numpy())
    out.add_tensor("output_norm.weight", weights["model.norm.weight"].numpy())
    for layer in range(config.num_hidden_layers):
        for name, short in NAMES.items():
            tensor = weights[f"model.layers.{layer}.{name}.weight"]
            heads = {"attn_q": HEADS, "attn_k": GROUPS}.get(short)
            tensor = rotated(tensor, heads) if heads else tensor
            out.add_tensor(f"blk.{layer}.{short}.weight", tensor.numpy())
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path
