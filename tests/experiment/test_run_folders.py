"""Folders of other trainers: TRL's as TRL writes it, the others laid out as theirs.

LLaMA-Factory writes ``trainer_log.jsonl`` beside the files of transformers' Trainer
(``LogCallback`` in its ``train/callbacks.py``). Axolotl saves the base's configuration
and tokenizer beside an adapter before it trains, and keeps ``trainer_state.json`` in
``checkpoint-N`` alone (``save_initial_configs`` and ``save_trained_model`` in its
``train.py``).
"""

import json
import shutil
import warnings

import pandas as pd
import pytest

from tests.experiment.common import run as train
from tests.experiment.test_trl_trainer import rows
from tests.experiment.trl_runs import BETA
from tests.methods.direct.trl_stubs import trainer_class
from tests.models import families
from workbench.core.errors import BadCheckpoint, BadRun
from workbench.experiment import run_folders
from workbench.experiment.audit import Settings, audit
from workbench.experiment.audit_figures import beside
from workbench.experiment.audit_report import run_command

STEPS = 4
DATA = rows("conversation")
PAIRS, UNSEEN = DATA[:4], DATA[4:]
FEW = {"samples": 2, "max_new": 2, "max_length": 128, "beta": BETA}
WHOLE = "model.safetensors"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A reference, TRL's folders of a full and of a LoRA run, and its evaluation."""
    root = tmp_path_factory.mktemp("runs")
    families.save("chatml", root / "reference")
    for name, data in {"pairs": PAIRS, "unseen": UNSEEN}.items():
        lines = "".join(json.dumps(row) + "\n" for row in data)
        (root / f"{name}.jsonl").write_text(lines)
    trl(root, "full")
    trl(root, "lora")
    return root


def trl(root, name: str) -> None:
    """A short run of TRL, saved at half and at the end, evaluated there on others."""
    trainer = trainer_class("trl.trainer.dpo_trainer", "DPOTrainer")
    config = trainer_class("trl.trainer.dpo_config", "DPOConfig")
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def load():
        return AutoModelForCausalLM.from_pretrained(root / "reference", dtype="float32")

    adapter = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    more = {"lora": {"peft_config": adapter}, "full": {"ref_model": load()}}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = trainer(
            model=load(), train_dataset=Dataset.from_list(PAIRS),
            eval_dataset=Dataset.from_list(UNSEEN),
            processing_class=AutoTokenizer.from_pretrained(root / "reference"),
            args=config(
                output_dir=str(root / name), beta=BETA, max_steps=STEPS,
                learning_rate=1e-2, per_device_train_batch_size=4,
                per_device_eval_batch_size=2, logging_steps=1, max_length=192,
                save_strategy="steps", save_steps=2, eval_strategy="steps",
                eval_steps=2, report_to=[], use_cpu=True, bf16=False,
                gradient_checkpointing=False, disable_tqdm=True,
            ), **more,
        )  # fmt: skip
        run.train()
        run.save_model()


def settings(root, policy, pairs="unseen.jsonl") -> Settings:
    names = (root / "reference", policy, root / pairs)
    return Settings(*map(str, names), **FEW)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_an_audit_is_trls_own_evaluation_of_its_final_model(root, kind):
    """At the last step TRL evaluated the weights that it saved."""
    found = audit(settings(root, root / kind))
    assert found.trained.model == root / kind
    table = beside(found).set_index("measure")
    for name in ("chosen", "rejected", "margins", "accuracies"):
        row = table.loc[f"rewards/{name}"]
        assert row["logged_eval"] == pytest.approx(row["audit"], abs=1e-5)
    for name in ("chosen", "rejected"):
        row = table.loc[f"logps/{name}"]
        assert row["logged_eval"] == pytest.approx(row["audit"], rel=1e-5)
    assert abs(table.loc["rewards/margins", "audit"]) > 1e-4
    assert [step for step, _ in found.trained.logged["loss"]] == [1, 2, 3, 4]


@pytest.fixture
def unfinished(root, tmp_path):
    """A run without a final model; its last checkpoint is that of step 10."""
    folder = tmp_path / "unfinished"
    shutil.copytree(root / "full", folder)
    (folder / WHOLE).unlink()
    (folder / "checkpoint-4").rename(folder / "checkpoint-10")
    (folder / "checkpoint-x").mkdir()
    return folder


def test_without_a_final_model_the_last_checkpoint_is_audited(unfinished):
    found = run_folders.find(unfinished)
    assert found.model == unfinished / "checkpoint-10"
    assert found.notes == (
        "unfinished has no final model: its checkpoint-10 is audited",
    )
    assert len(found.logged["eval_rewards/margins"]) == 2
    (unfinished / "checkpoint-10" / WHOLE).unlink()  # it was stopped while saving
    assert run_folders.find(unfinished).model == unfinished / "checkpoint-2"


def test_a_folder_of_axolotl_is_an_adapter_on_the_reference(root, tmp_path):
    """Its adapter names a model of a hub, and the base's config.json lies beside it."""
    folder = tmp_path / "outputs"
    shutil.copytree(root / "lora", folder)
    shutil.copy(root / "reference" / "config.json", folder)
    named = json.loads((folder / "adapter_config.json").read_text())
    named["base_model_name_or_path"] = "someone/a-model"
    (folder / "adapter_config.json").write_text(json.dumps(named))
    one, two = (audit(settings(root, path)) for path in (folder, root / "lora"))
    assert one.pairs["margin"].tolist() == two.pairs["margin"].tolist()
    assert "the adapter names its base 'someone/a-model': the reference is used" in (
        one.notes
    )
    assert one.trained.logged == two.trained.logged != {}
    # before its first adapter is saved there is a configuration and nothing to audit
    (folder / "adapter_model.safetensors").unlink()
    assert run_folders.find(folder).model == folder / "checkpoint-4"


@pytest.fixture
def factory(root, tmp_path):
    """A folder of LLaMA-Factory after training: its log, and a state beside it."""
    folder = tmp_path / "saves"
    shutil.copytree(
        root / "full", folder, ignore=shutil.ignore_patterns("checkpoint-*")
    )
    log = [
        {"current_steps": n, "total_steps": 4, "loss": 0.7 - 0.1 * n, "accuracy": 0.5,
         "lr": 5e-6, "epoch": n / 2, "percentage": 25.0 * n, "elapsed_time": "0:00:01",
         "remaining_time": "0:00:03"} for n in (1, 2)
    ]  # fmt: skip
    log.append({"current_steps": 2, "total_steps": 4, "eval_loss": 0.66, "epoch": 1.0})
    lines = "".join(json.dumps(line) + "\n" for line in log)
    (folder / "trainer_log.jsonl").write_text(lines + '{"current_steps": 3, "lo')
    return folder


def test_a_log_of_llama_factory_has_trls_names(factory):
    logged = run_folders.find(factory).logged
    assert logged["loss"] == [(1, pytest.approx(0.6)), (2, pytest.approx(0.5))]
    assert logged["rewards/accuracies"] == [(1, 0.5), (2, 0.5)]
    assert logged["eval_loss"] == [(2, 0.66)] and "learning_rate" in logged
    assert "elapsed_time" not in logged


def test_a_state_goes_before_the_shorter_log(root, factory):
    state = root / "full" / "checkpoint-4" / "trainer_state.json"
    shutil.copy(state, factory)
    logged = run_folders.find(factory).logged
    assert len(logged["rewards/chosen"]) == STEPS
    assert logged["loss"][0][1] == pytest.approx(0.693147, abs=1e-5)


def test_curves_are_drawn_beside_the_audits_own_numbers(root, tmp_path):
    asked = settings(root, root / "full")
    folder, found = run_command(asked, tmp_path / "out", echo=lambda line: None)
    drawn = json.loads((folder / "logged.json").read_text())["data"]
    named = {trace.get("name"): trace for trace in drawn if trace.get("name")}
    line = named["eval_rewards/chosen"]
    assert line["x"] == [2.0, 4.0]
    points = [trace for trace in drawn if trace["mode"] == "markers"]
    own = found.summary.set_index("measure").loc["chosen", "value"]
    assert points[0]["x"] == [4.0] and points[0]["y"][0] == pytest.approx(own, rel=1e-4)
    assert set(pd.read_csv(folder / "logged.csv")["name"]) == {*found.trained.logged}
    page = (folder / "report.html").read_text()
    assert "Logged in training, and here" in page and len(page) < 5_000_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no JSON object"),
        ("{", "Expecting property name"),
        ("{}", "log_history is no list"),
        ('{"log_history": [1]}', "log_history is no list"),
    ],
)
def test_damaged_logs_are_named(factory, text, message):
    (factory / "trainer_state.json").write_text(text)
    with pytest.raises(BadRun, match=message):
        run_folders.find(factory)


def test_what_is_no_number_is_no_point_and_names_are_text(factory):
    entries = [
        {"step": 1, "loss": float("nan"), "note": "x", "flag": True, "a\x1b[2J": 1.0},
        {"step": "two", "loss": 1.0},
        {"loss": 2.0},
        {"step": 3, "loss": 0.5},
    ]
    state = json.dumps({"log_history": entries})
    (factory / "trainer_state.json").write_text(state)
    logged = run_folders.find(factory).logged
    assert logged == {"a\\x1b[2J": [(1, 1.0)], "loss": [(3, 0.5)]}
    text = (factory / "trainer_log.jsonl").read_text()
    (factory / "trainer_state.json").unlink()
    (factory / "trainer_log.jsonl").write_text("{\n" + text)
    with pytest.raises(BadRun, match="line 1 is no JSON"):
        run_folders.find(factory)


def test_a_run_of_ours_has_the_fields_names(root, tmp_path):
    made = {"steps": 2, "every": 1, "batch_size": 2, "samples": 2, "max_new": 2}
    train(
        "dpo", tmp_path / "mine", pairs=root / "pairs.jsonl", model=root / "reference",
        max_length=128, held_out=1, **made,
    )  # fmt: skip
    found = run_folders.find(tmp_path / "mine")
    assert found.model == tmp_path / "mine" / "seed-0" / "policy"
    metrics = pd.read_csv(tmp_path / "mine" / "seed-0" / "metrics.csv")
    curve = found.logged["eval_rewards/margins"]
    assert curve == list(zip(metrics["step"], metrics["margin"], strict=True))
    alone = run_folders.find(tmp_path / "mine" / "seed-0")
    assert (alone.model, alone.logged) == (found.model, found.logged)
    assert run_folders.find(found.model).logged == {}
    (tmp_path / "mine" / "seed-1").mkdir()
    with pytest.raises(BadCheckpoint, match="it holds 2 runs of workbench train"):
        run_folders.find(tmp_path / "mine")
