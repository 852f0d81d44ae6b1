"""The hub: asked only by name, for safetensors alone, and away in one sentence.

The hub's client is replaced where files come; without a network it is the real one.
"""

import shutil

import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects

from tests.models import families
from workbench.core.errors import BadOption, MissingInput
from workbench.models import checkpoint, hub

THERE = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model",
    "chat_template.jinja", "merges.txt", "model-00001-of-00002.safetensors",
    "model.safetensors.index.json", "LICENSE",
]  # fmt: skip
LEFT = [
    "pytorch_model.bin", "modeling_own.py", "onnx/model.onnx", "original/params.json",
    "runs/events.out", "training_args.bin", "model.gguf",
]  # fmt: skip


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A client that answers with a checkpoint as its cache holds one: by links."""
    calls = []

    def snapshot_download(name, **options):
        calls.append((name, options))
        plain = families.save("chatml", tmp_path / "plain")
        snapshot = tmp_path / "models--me--it" / "snapshots" / "abc"
        blobs = snapshot.parent.parent / "blobs"
        snapshot.mkdir(parents=True)
        blobs.mkdir()
        for path in plain.iterdir():
            shutil.move(path, blobs / path.name)
            (snapshot / path.name).symlink_to(blobs / path.name)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def test_what_the_client_brings_is_loaded_like_any_folder(asked):
    folder = hub.fetch("me/it")
    policy, coder = checkpoint.load(folder)
    assert coder.eos_token == "<|im_end|>" and policy.network.members == 1
    [(name, options)] = asked
    assert name == "me/it" and options["local_dir"] is None
    wanted = {k: v for k, v in options.items() if k != "local_dir"}
    assert list(filter_repo_objects(THERE + LEFT, **wanted)) == THERE


def test_without_a_network_a_sentence_says_what_to_do():
    with pytest.raises(MissingInput, match="name a local folder by --model") as caught:
        hub.fetch("me/it")
    assert "\n" not in str(caught.value) and "--hub me/it" in str(caught.value)


@pytest.mark.parametrize("name", ["", "gpt2", "../x", "a/b/c", "a b/c", "ä/b", "a/b\n"])
def test_what_is_no_name_is_refused_before_anything_is_asked(name, asked):
    with pytest.raises(BadOption, match="OWNER/MODEL"):
        hub.fetch(name)
    assert asked == []
