"""Step sizes and numbers of steps of a training command."""

import json

import pytest

from tests.models import families
from workbench.catalogue import methods
from workbench.core.errors import BadOption
from workbench.experiment import pace
from workbench.experiment.training import run_command
from workbench.experiment.training_settings import Settings

METHODS = methods()


@pytest.fixture
def pairs(tmp_path):
    rows = [{"prompt": f"Name {i}", "chosen": "green cup", "rejected": "a cup"}
            for i in range(10)]  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def size(key, parameters, **more):
    settings = Settings(key, pairs="rows.jsonl", model="there", **more)
    return pace.lr(METHODS[key], settings, int(parameters))


@pytest.mark.parametrize(
    ("parameters", "published"),
    [(2.8e9, 1e-6), (6.9e9, 1e-6), (7e9, 5e-7), (8e9, 5e-7), (70e9, 2e-7)],
)
def test_the_step_size_is_near_those_that_were_published(parameters, published):
    """Of DPO: Rafailov et al., Zephyr, Tülu 3."""
    assert published / 2 < size("dpo", parameters) < 2 * published


def test_small_models_and_adapters():
    assert size("dpo", 1e5) == size("dpo", 1e8) == 1e-5
    assert size("dpo", 1e5, lora="r=4") == pytest.approx(1e-4)
    # Zephyr's recipe with an adapter: 5e-6
    assert 2.5e-6 < size("dpo", 7e9, lora="r=4") < 1e-5
    assert size("dpo", 7e9, lr=3e-4) == 3e-4


def test_what_teaches_to_write_or_scores_keeps_its_step_size():
    assert size("sft", 7e9) == size("bt", 7e9) == 1e-5
    assert size("simpo", 7e9) < 1e-6


def run(pairs, tmp_path, method="dpo", **more):
    families.save("chatml", tmp_path / "model")
    usual = {"max_length": 64, "samples": 2, "max_new": 2, "batch_size": 4}
    out = run_command(
        method, pairs=pairs, model=tmp_path / "model", out=tmp_path / "out",
        echo=lambda line: None, **usual | {"held_out": 1} | more,
    )  # fmt: skip
    card = json.loads((out / "seed-0" / "run.json").read_text())
    return card, (out / "metrics.csv").read_text()


def test_epochs_are_passes_over_the_file(pairs, tmp_path):
    """9 pairs in batches of 4 are 2 steps a pass; the ninth waits for the next one."""
    card, _ = run(pairs, tmp_path, epochs=3, micro_batch=3, warmup=2, clip=1.0)
    assert card["steps"] == 6
    assert (card["micro_batch"], card["warmup"], card["clip"]) == (3, 2, 1.0)


@pytest.mark.parametrize(
    ("method", "more", "message"),
    [
        ("dpo", {"epochs": 2, "steps": 5}, "--epochs.*give one of them"),
        ("dpo", {"micro_batch": 0}, "--micro-batch is at least 1"),
        ("dpo", {"warmup": -1}, "--warmup is at least 0"),
        ("dpo", {"clip": 0.0}, "--clip is positive"),
        ("rloo", {"micro_batch": 2}, "--micro-batch.*rloo.*itself"),
    ],
)
def test_what_means_nothing_is_refused_before_any_work(tmp_path, method, more, message):
    with pytest.raises(BadOption, match=message):
        run_command(method, world="reviews", out=tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_a_batch_that_cannot_be_split_is_refused_before_any_work(tmp_path):
    with pytest.raises(BadOption, match="vpl takes no --micro-batch: contexts"):
        run_command("vpl", world="reviews", users=2, micro_batch=2, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()
