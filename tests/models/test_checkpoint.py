"""Checkpoints of strangers: what does not fit, is not whole or not safe is refused."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.core.errors import BadCheckpoint
from workbench.models import checkpoint, tiny, tokenizer
from workbench.models.network import Network

TEXTS = ["the film is good .", "the plot , not so good", "the cast is dull"]
CODER = tokenizer.build(TEXTS, "word")
SIZE = {
    "vocab_size": len(CODER), "hidden_size": 16, "intermediate_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
NESTED = "[" * 200_000 + "]" * 200_000


@pytest.fixture
def folder(tmp_path):
    """A small Llama with its tokenizer; the lm_head has weights of its own."""
    vocab = tokenizer.vocab_of(CODER)
    tiny.decoder(vocab, width=16, layers=2).save(tmp_path / "model")
    CODER.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def saved(model, folder):
    """Any transformers model as a checkpoint, with the tokenizer."""
    model.save_pretrained(folder)
    CODER.save_pretrained(folder)
    return folder


def configure(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def weigh(folder, change):
    """Change the tensors of a checkpoint; ``change`` returns the new ones."""
    path = folder / "model.safetensors"
    made = change(load_file(path))
    save_file({k: v.contiguous() for k, v in made.items()}, path, {"format": "pt"})


def shard(folder) -> dict:
    """Split the weights in two files with an index, as large models come."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, placed = sorted(tensors), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({n: tensors[n] for n in part}, folder / file, {"format": "pt"})
        placed |= dict.fromkeys(part, file)
    point(folder, placed)
    return placed


def point(folder, placed) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def refused(folder) -> BadCheckpoint:
    with pytest.raises(BadCheckpoint) as caught:
        checkpoint.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


# ---- weights that are not those of the model --------------------------------------

HEAD, NORM = "lm_head.weight", "model.norm.weight"
LAST = "model.layers.1."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"foo." + k: v for k, v in t.items()}, "is missing"),
        (lambda t: {k.replace("model.", "mdl."): v for k, v in t.items()}, "missing"),
        (lambda t: {k: v for k, v in t.items() if LAST not in k}, LAST),
        (lambda t: {k: v for k, v in t.items() if k != HEAD}, f"{HEAD} is missing"),
        (lambda t: {k: v for k, v in t.items() if k != NORM}, f"{NORM} is missing"),
        (lambda t: {HEAD: t[HEAD]}, "do"),
        (lambda t: t | {"v_head.weight": torch.ones(3)}, "v_head.weight is not part"),
        (lambda t: t | {"model.layers.2.input.weight": torch.ones(3)}, "layers.2"),
        (lambda t: t | {NORM: t[NORM][:-1]}, rf"{NORM} is .*15.* should be .*16"),
        (lambda t: t | {HEAD: t[HEAD].T}, HEAD),
        (lambda t: {}, "do not fit"),
    ],
)  # fmt: skip
def test_tensors_that_are_not_those_of_the_model_are_refused_by_name(
    folder, change, message
):
    weigh(folder, change)
    with pytest.raises(BadCheckpoint, match=message) as caught:
        checkpoint.load(folder)
    assert caught.value.reason == "weights do not fit"


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": -1},
        {"num_hidden_layers": 0},
        {"num_hidden_layers": 1},
        {"num_hidden_layers": 3},
        {"num_hidden_layers": 10**12},
        {"num_hidden_layers": 2.5},
        {"num_hidden_layers": True},
        {"num_hidden_layers": "2"},
        {"vocab_size": 0},
        {"vocab_size": -5},
        {"vocab_size": 7},
        {"vocab_size": 10**15},
        {"vocab_size": 10**40},
        {"hidden_size": -16},
        {"hidden_size": 32},
        {"hidden_size": 10**10},
        {"intermediate_size": 10**15},
        {"intermediate_size": -1},
        {"num_attention_heads": 0},
        {"num_attention_heads": 10**9},
        {"num_key_value_heads": -1},
        {"head_dim": -8},
        {"head_dim": 10**12},
        {"max_position_embeddings": -64},
        {"max_position_embeddings": 10**30},
        {"rms_norm_eps": float("nan")},
        {"rope_parameters": {"rope_theta": -9.0, "rope_type": "default"}},
        {"rope_parameters": {"rope_theta": 0.0, "rope_type": "default"}},
        {"hidden_act": "nosuch"},
        {"model_type": "nosuch"},
        {"model_type": None},
        {"forbidden_token_ids": [10**9]},
        {"forbidden_token_ids": "all"},
    ],
    ids=str,
)
def test_a_configuration_that_its_weights_cannot_have_is_refused(folder, changes):
    configure(folder, **changes)
    refused(folder)


def test_tables_larger_than_memory_are_refused_before_they_are_made(tmp_path):
    """GPT-Neo keeps a mask of positions × positions, which is in no file."""
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    size = GPTNeoConfig(
        vocab_size=len(CODER), hidden_size=4, num_layers=1, num_heads=1,
        attention_types=[[["global"], 1]], max_position_embeddings=64,
    )  # fmt: skip
    saved(GPTNeoForCausalLM(size), tmp_path)
    checkpoint.load(tmp_path)
    long = 100_000
    name = "transformer.wpe.weight"
    weigh(tmp_path, lambda t: t | {name: torch.zeros(long, 4)})
    configure(tmp_path, max_position_embeddings=long)
    assert refused(tmp_path).reason == "weights do not fit"


@pytest.mark.parametrize("kind", ["tied", "inverse frequencies", "sharded", "bfloat16"])
def test_what_transformers_itself_leaves_out_or_in_is_no_fault(folder, kind):
    if kind == "tied":
        weigh(folder, lambda t: {k: v for k, v in t.items() if k != HEAD})
        configure(folder, tie_word_embeddings=True)
    elif kind == "inverse frequencies":
        name = "model.layers.0.self_attn.rotary_emb.inv_freq"
        weigh(folder, lambda t: t | {name: torch.ones(4)})
    elif kind == "bfloat16":
        weigh(folder, lambda t: {k: v.bfloat16() for k, v in t.items()})
    else:
        shard(folder)
    policy, _ = checkpoint.load(folder)
    assert next(policy.parameters()).dtype == torch.float32


def test_an_old_gpt2_without_prefix_and_with_its_masks_is_read(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    size = GPT2Config(
        vocab_size=len(CODER), n_embd=16, n_layer=1, n_head=2, n_positions=64
    )
    model = GPT2LMHeadModel(size).eval()
    saved(model, tmp_path)
    masks = {"h.0.attn.bias": torch.ones(1, 1, 64, 64).tril()}
    masks["h.0.attn.masked_bias"] = torch.tensor(-1e4)

    def old(tensors):
        return {k.removeprefix("transformer."): v for k, v in tensors.items()} | masks

    weigh(tmp_path, old)
    policy, _ = checkpoint.load(tmp_path)
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.equal(policy.network(ids), model(ids).logits)


# ---- weights that are not numbers -------------------------------------------------


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1e300])
@pytest.mark.parametrize("name", [NORM, HEAD, "model.layers.1.mlp.up_proj.weight"])
def test_a_weight_that_is_not_finite_is_refused_with_the_tensor_s_name(
    folder, name, value
):
    def spoil(tensors):
        tensors[name] = tensors[name].double()  # 1e300 is too large for float32
        tensors[name].view(-1)[-1] = value
        return tensors

    weigh(folder, spoil)
    error = refused(folder)
    assert error.reason == "weights not finite"
    assert name in error.detail and "1 of" in error.detail


def test_finite_weights_with_logits_that_are_not_are_refused(folder):
    weigh(folder, lambda t: t | {HEAD: torch.full_like(t[HEAD], 3e38)})
    assert refused(folder).reason == "weights not finite"


# ---- models that are not causal ---------------------------------------------------


def small(name, **more):
    import transformers

    config = getattr(transformers, f"{name}Config")(**SIZE | more)
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("name", ["Bert", "Roberta", "Electra", "RoFormer"])
def test_an_encoder_that_sees_later_tokens_is_refused_and_as_a_decoder_it_is_not(
    tmp_path, name
):
    error = refused(saved(small(name), tmp_path / "encoder"))
    assert error.reason == "no causal model" and "tokens after them" in error.detail
    checkpoint.load(saved(small(name, is_decoder=True), tmp_path / "decoder"))


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Mistral", "Gemma2", "GPTNeoX"])
def test_decoders_of_other_families_pass(tmp_path, name):
    checkpoint.load(saved(small(name, num_key_value_heads=1, head_dim=8), tmp_path))


@pytest.mark.parametrize(
    "view",
    [
        lambda logits: logits.roll(-1, 1),
        lambda logits: logits[:, -1:].expand_as(logits),
        lambda logits: logits.mean(1, keepdim=True),
        lambda logits: 0.01 * logits.flip(1),
        lambda logits: torch.where(torch.arange(12)[:, None] == 5, logits[:, 6:7], 0),
    ],
    ids=["the next", "the last", "all", "a little", "one at one place"],
)
def test_whatever_a_model_sees_of_later_tokens_it_is_refused(folder, monkeypatch, view):
    real = Network.forward
    monkeypatch.setattr(
        Network, "forward", lambda self, ids: real(self, ids) + view(real(self, ids))
    )
    assert refused(folder).reason == "no causal model"


def test_what_is_no_language_model_of_one_direction_is_refused_in_a_sentence(tmp_path):
    from transformers import (
        BartConfig,
        BartForConditionalGeneration,
        DistilBertConfig,
        DistilBertForMaskedLM,
        T5Config,
        T5ForConditionalGeneration,
        ViTConfig,
        ViTModel,
    )

    words = {"vocab_size": len(CODER), "d_model": 16, "pad_token_id": 0}
    bart = BartConfig(
        **words, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16,
        decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
        max_position_embeddings=64,
    )  # fmt: skip
    t5 = T5Config(**words, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    distil = DistilBertConfig(
        vocab_size=len(CODER), dim=16, n_layers=1, n_heads=2, hidden_dim=16
    )
    vision = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, image_size=8, patch_size=4,
    )  # fmt: skip
    models = {
        "bart": BartForConditionalGeneration(bart),
        "t5": T5ForConditionalGeneration(t5),
        "distilbert": DistilBertForMaskedLM(distil),
        "vit": ViTModel(vision),
    }
    for name, model in models.items():
        error = refused(saved(model, tmp_path / name))
        assert error.reason == "no causal model"
        assert name in error.detail and len(error.detail) < 100


# ---- nothing is unpickled ---------------------------------------------------------

_opened: list[str] | None = None


def _listen(event, arguments):
    if _opened is not None and event in ("open", "pickle.find_class"):
        _opened.append(str(arguments[0]))


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are opened; a pickle may not even be looked into."""
    global _opened
    if _listen not in _hooked:
        sys.addaudithook(_listen)  # for good: there is no way to take one off
        _hooked.append(_listen)

    def refuse(*args, **kwargs):
        raise AssertionError("something is unpickled")

    monkeypatch.setattr(torch, "load", refuse)
    _opened = []
    yield _opened
    _opened = None


_hooked: list = []


def pickled(folder, name="w.bin"):
    tensors = load_file(folder / "model.safetensors")
    torch.save(tensors, folder / name)
    return tensors


PLACES = [
    "w.bin", "../outside.safetensors", "./decoy.safetensors", "sub/w.safetensors",
    "sub\\w.safetensors", "C:w.safetensors", "/etc/w.safetensors", "", ".", "..", 7,
    None, ["w.bin"], {"a": "w.bin"}, "decoy.safetensors/../w.bin",
    "w.safetensors\0.bin", "w.SAFETENSORS", ".safetensors", "link.safetensors",
    "nothing.safetensors", "linked/w.safetensors", "hole.safetensors",
]  # fmt: skip


@pytest.mark.parametrize("where", PLACES, ids=repr)
@pytest.mark.parametrize("every", [True, False])
def test_an_index_that_names_anything_but_safetensors_of_the_folder_is_refused(
    folder, opened, where, every
):
    tensors = pickled(folder)
    weights = folder / "model.safetensors"
    (folder / "sub").mkdir()
    for copy in ("sub/w.safetensors", "../outside.safetensors", "w.SAFETENSORS"):
        shutil.copy(weights, folder / copy)
    weights.rename(folder / "decoy.safetensors")
    (folder / "link.safetensors").symlink_to(folder.parent / "outside.safetensors")
    (folder / "hole.safetensors").symlink_to(folder / "nothing")
    (folder / "linked").symlink_to(folder / "sub")
    placed = dict.fromkeys(tensors, "decoy.safetensors")
    point(folder, placed | dict.fromkeys(tensors if every else [HEAD], where))
    opened.clear()
    assert refused(folder).reason in ("weights elsewhere", "weights missing")
    assert not [name for name in opened if name.endswith((".bin", "outside"))]


@pytest.mark.parametrize("index", ["{}", "[]", "", "{", '{"weight_map": []}', NESTED])
def test_an_index_that_is_none_is_refused(folder, index):
    (folder / "model.safetensors").rename(folder / "w.safetensors")
    (folder / "model.safetensors.index.json").write_text(index)
    assert refused(folder).reason in ("malformed JSON", "malformed index")


def test_weights_in_several_files_are_the_same_model(folder):
    ids = torch.arange(3, 9)[None]
    whole = checkpoint.load(folder)[0].network(ids)
    assert len(set(shard(folder).values())) == 2
    assert torch.equal(checkpoint.load(folder)[0].network(ids), whole)


@pytest.mark.parametrize(
    "name", ["w.bin", "adapter_model.bin", "w.safetensors.index.json", "../w", 3]
)
def test_a_configuration_that_names_its_weights_is_refused(folder, opened, name):
    tensors = pickled(folder)
    pickled(folder, "adapter_model.bin")
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, "w.bin")}
    (folder / "w.safetensors.index.json").write_text(json.dumps(index))
    configure(folder, transformers_weights=name)
    assert refused(folder).reason == "weights elsewhere"


def test_the_only_weight_file_may_not_be_a_link_out_of_the_folder(folder):
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    link = folder / "model.safetensors"
    link.symlink_to(folder.parent / "elsewhere.safetensors")
    assert refused(folder).reason == "weights elsewhere"


@pytest.mark.parametrize("split", [False, True])
def test_links_within_the_folder_and_into_the_hub_s_own_cache_are_followed(
    folder, tmp_path, split
):
    if split:
        shard(folder)
    blobs = tmp_path / "models--me--tiny" / "blobs"
    snapshot = tmp_path / "models--me--tiny" / "snapshots" / "abc"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, blobs / f"{number}")
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    checkpoint.load(snapshot)
    (folder / "held").mkdir()
    for file in sorted(folder.glob("*.safetensors")):
        file.rename(folder / "held" / file.name)
        file.symlink_to(folder / "held" / file.name)
    checkpoint.load(folder)


def test_pickles_beside_safetensors_are_ignored(folder, opened):
    for name in ("pytorch_model.bin", "model.pt", "optimizer.pkl", "training_args.bin"):
        pickled(folder, name)
    (folder / "pytorch_model.bin.index.json").write_text("{}")
    opened.clear()
    checkpoint.load(folder)
    assert not [n for n in opened if n.endswith((".bin", ".pt", ".pkl"))]
    assert [n for n in opened if n.endswith("config.json")], "the hook heard nothing"


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        {"quantization_config": {"quant_method": "gptq", "bits": 4}},
        {"compression_config": {}},
    ],
    ids=str,
)
def test_packed_weights_are_refused(folder, changes):
    configure(folder, **changes)
    assert refused(folder).reason == "quantised weights"


def test_one_process_s_part_of_a_checkpoint_is_refused(folder):
    part = folder / "shard-00000-model-00001-of-00001.safetensors"
    shutil.copy(folder / "model.safetensors", part)
    assert refused(folder).reason == "saved in parts"


# ---- files that are not what they should be ---------------------------------------

OBJECTS = ("config.json", "tokenizer_config.json", "generation_config.json")


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize(
    "content",
    [
        NESTED.encode(),
        ('{"a": ' * 200_000 + "1" + "}" * 200_000).encode(),
        ('{"a": ' * 400 + "1" + "}" * 400).encode(),
        ('{"a": ' + "[" * 400 + "]" * 400 + "}").encode(),
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
    ids=range(11),
)
def test_a_json_file_that_is_no_sound_object_is_refused(folder, name, content):
    (folder / name).write_bytes(content)
    error = refused(folder)
    assert error.reason == "malformed JSON" and name in error.detail


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["a folder", "empty", "half", "zeros", "gone"])
def test_a_file_of_the_folder_that_is_broken_ends_in_the_same_error(
    folder, name, damage
):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage != "gone":
        kept = {"empty": 0, "half": len(content) // 2, "zeros": 0}[damage]
        zeros = bytes(len(content)) if damage == "zeros" else b""
        path.write_bytes(content[:kept] + zeros)
    refused(folder)


def test_a_folder_without_a_tokenizer_is_refused_in_a_sentence(folder):
    for file in folder.glob("*token*"):
        file.unlink()
    assert refused(folder).detail == "it has no tokenizer"


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "", "no/such", "~nobody/x"])
def test_a_name_that_no_folder_can_have_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadCheckpoint):
        checkpoint.load(name)


def test_a_model_that_could_not_be_saved_later_is_refused_now(folder, monkeypatch):
    from transformers import GenerationConfig

    def fail(self, place):
        raise ValueError("the generation config is invalid")

    monkeypatch.setattr(GenerationConfig, "save_pretrained", fail)
    assert "generation config is invalid" in refused(folder).detail


def test_a_token_number_beyond_the_model_s_table_is_refused(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    vocab = content["model"]["vocab"]
    vocab["dull"] = 5000
    path.write_text(json.dumps(content))
    assert refused(folder).reason == "tokenizer and model differ"


def test_a_stop_from_outside_is_not_taken_for_a_fault_of_the_checkpoint(
    folder, monkeypatch
):
    from transformers import AutoTokenizer

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", stop)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.load(folder)
