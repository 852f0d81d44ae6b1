"""GGUF files, written here as llama.cpp's converter writes them, and unpacked."""

import json

import pytest
import torch
from gguf import GGUFWriter
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tests.models import families
from workbench.core.errors import BadCheckpoint
from workbench.models import checkpoint, gguf_file

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


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Model, tokenizer, and the file that both were written into."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    coder = families.coder("chatml")
    model = small(coder)
    return model, coder, write(tmp_path / "small.gguf", model, coder)


def test_what_is_unpacked_is_the_model(made, capfd):
    model, coder, file = made
    policy, read = checkpoint.load(file)  # as `--model` takes it
    folder = gguf_file.unpacked(file)
    ids = torch.randint(len(coder), (2, 9))
    assert torch.equal(policy.network(ids), model(ids).logits)
    assert read.eos_token == coder.eos_token and read.pad_token == coder.pad_token
    assert read.chat_template == coder.chat_template
    assert (
        read("the cup is green")["input_ids"] == coder("the cup is green")["input_ids"]
    )
    told = json.loads((folder / "config.json").read_text())
    assert "quantization_config" not in told and told["dtype"] == "float32"
    ends = json.loads((folder / "generation_config.json").read_text())
    assert ends["eos_token_id"] == coder.eos_token_id
    assert capfd.readouterr() == ("", "")


def test_it_is_unpacked_once(made):
    file = made[2]
    folder = gguf_file.unpacked(file)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert gguf_file.unpacked(file) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_digits_are_cut_from_the_blanks_before_them(made):
    coder = AutoTokenizer.from_pretrained(gguf_file.unpacked(made[2]))
    pieces = [
        w for w, _ in coder.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a  12")
    ]
    assert pieces == ["a", "ĠĠ", "1", "2"]


def test_a_way_to_cut_text_that_nobody_knows_is_refused(made, tmp_path):
    model, coder, _ = made
    file = write(tmp_path / "odd.gguf", model, coder, pre="from-the-future")
    with pytest.raises(BadCheckpoint, match="from-the-future"):
        gguf_file.unpacked(file)
    assert not list((tmp_path / "cache" / "gguf").glob("odd*"))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF" + b"\xff" * 64, b"{}" * 50])
def test_what_is_no_gguf_is_refused_in_a_sentence(content, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "bad.gguf"
    file.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="cannot be unpacked"):
        gguf_file.unpacked(file)


def test_a_path_means_a_file_or_the_only_one_of_a_folder(made, tmp_path):
    file = made[2]
    assert gguf_file.find(file) == file and gguf_file.find(tmp_path) == file
    (tmp_path / "other.GGUF").write_bytes(b"GGUF")
    with pytest.raises(BadCheckpoint, match=r"other.GGUF, small.gguf"):
        gguf_file.find(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert gguf_file.find(tmp_path) is None
    assert gguf_file.find(tmp_path / "nothing") is None
