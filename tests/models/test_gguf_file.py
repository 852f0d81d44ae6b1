"""GGUF files, unpacked: the model, its tokenizer, and what is refused."""

import json

import pytest
import torch
from transformers import AutoTokenizer

from tests.models import families
from tests.models.gguf_files import small, write
from workbench.core.errors import BadCheckpoint
from workbench.models import checkpoint, gguf_file


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
