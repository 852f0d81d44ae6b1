"""An audit of GGUF files: as the reference, as the policy, and under an adapter."""

import json

import pytest
import torch

from tests.models import families
from tests.models.gguf_files import small, write
from workbench.experiment.audit import Settings, audit
from workbench.experiment.training import run_command

FEW = {"samples": 4, "max_new": 3, "max_length": 100}
ROWS = [
    {"prompt": f"Name a colour for the {thing}.", "chosen": f"The {thing} is green.",
     "rejected": "I have nothing"} for thing in ("cup", "coat", "hat")
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The same two models, each as a folder of safetensors and as a GGUF file."""
    root = tmp_path_factory.mktemp("gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(root / "cache"))
        coder = families.coder("chatml")
        for name in ("reference", "policy"):
            model = small(coder)
            if name == "policy":
                with torch.no_grad():
                    for weights in model.parameters():
                        weights += 0.02 * torch.randn_like(weights)
            model.generation_config.eos_token_id = coder.eos_token_id
            model.save_pretrained(root / name)
            coder.save_pretrained(root / name)
            write(root / f"{name}.gguf", model, coder)
        (root / "packed").mkdir()  # a folder with nothing but a GGUF file
        (root / "packed" / "it.gguf").symlink_to(root / "policy.gguf")
        lines = "".join(json.dumps(row) + "\n" for row in ROWS)
        (root / "pairs.jsonl").write_text(lines)
        yield root


@pytest.fixture(scope="module")
def plain(root):
    """What an audit of the two folders says."""
    return audited(root, "reference", "policy")


def audited(root, reference, policy):
    names = [str(root / name) for name in (reference, policy, "pairs.jsonl")]
    return audit(Settings(*names, **FEW))


@pytest.mark.parametrize(
    ("reference", "policy"),
    [
        ("reference.gguf", "policy"),
        ("reference", "policy.gguf"),
        ("reference.gguf", "packed"),
    ],
)
def test_a_gguf_file_is_the_model_that_was_written_into_it(
    root, plain, reference, policy
):
    found = audited(root, reference, policy)
    for column in ("chosen", "rejected", "chosen_logp"):
        assert found.pairs[column].tolist() == plain.pairs[column].tolist(), column
    assert found.pairs["margin"].abs().min() > 1e-3
    drawn = found.drawn, plain.drawn
    assert drawn[0].before == drawn[1].before and drawn[0].after == drawn[1].after
    assert drawn[0].drift["mean"].tolist() == drawn[1].drift["mean"].tolist()


def test_an_adapter_is_put_on_the_file_that_it_was_trained_on(root, tmp_path):
    """As on the folder that holds the same weights."""
    run = run_command(
        "dpo", pairs=root / "pairs.jsonl", model=root / "reference.gguf",
        lora="r=2,targets=q_proj", out=tmp_path / "run", echo=lambda line: None,
        steps=2, lr=0.03, batch_size=2, held_out=1, max_length=100, samples=2,
        max_new=2,
    )  # fmt: skip
    file, folder = (audited(root, f"reference{end}", run) for end in (".gguf", ""))
    for column in ("chosen", "rejected"):
        assert file.pairs[column].tolist() == folder.pairs[column].tolist()
    assert file.pairs["margin"].abs().min() > 1e-4
    # the adapter names the folder that the file was unpacked into
    told = "the adapter names its base"
    assert not any(told in note for note in file.notes)
    assert any(told in note for note in folder.notes)
