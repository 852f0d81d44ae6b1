"""Whole runs of DPO against TRL's own trainer, from the same checkpoint and rows.

Log-probs of every response, then losses and rewards of 20 full-batch steps of Adam. TRL
tokenises, pads and trains by itself; nothing is shared but the checkpoint and the rows.
"""

import json
import warnings

import pandas as pd
import pytest
import torch

from tests.methods.direct.trl_stubs import trainer_class
from tests.models import families
from workbench.feedback import files
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models import checkpoint, encoding

STEPS, LR, BETA = 20, 1e-3, 0.1
THINGS = ("cup", "coat", "door", "hat", "boat", "book")
KEYS = ("loss", "rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected")


def rows(form: str) -> list[dict]:
    """Pairs about a few things, as conversations or as plain text."""
    made = []
    for i, thing in enumerate(THINGS):
        fields = {
            "prompt": f"Name a colour for the {thing}.",
            "chosen": f"The {thing} is green" + ", please" * (i % 3) + ".",
            "rejected": f"I have nothing on the {thing}",
        }
        if form == "text":
            # TRL glues a prompt and its answers; a line end keeps their tokens apart
            made.append(fields | {"prompt": fields["prompt"] + "\n"})
        else:
            roles = {"prompt": "user"}
            made.append(
                {
                    k: [{"role": roles.get(k, "assistant"), "content": v}]
                    for k, v in fields.items()
                }
            )
    return made


def theirs(folder, data: list[dict], out) -> list[dict]:
    """What TRL logs at each step."""
    trainer = trainer_class("trl.trainer.dpo_trainer", "DPOTrainer")
    config = trainer_class("trl.trainer.dpo_config", "DPOConfig")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = trainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
            ref_model=AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
            processing_class=AutoTokenizer.from_pretrained(folder),
            train_dataset=Dataset.from_list(data),
            args=config(
                output_dir=str(out), beta=BETA, max_steps=STEPS, learning_rate=LR,
                per_device_train_batch_size=len(data), lr_scheduler_type="constant",
                max_grad_norm=1e9, optim="adamw_torch", logging_steps=1, max_length=192,
                report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False,
                save_strategy="no", disable_tqdm=True,
            ),
        )  # fmt: skip
        run.train()
    logged = [row for row in run.state.log_history if "rewards/chosen" in row]
    return [{key: row[key] for key in KEYS} for row in logged]


def ours(folder, path) -> list[dict]:
    """The same of a run of ours, before each step."""
    policy, coder = checkpoint.load(folder)
    reference = checkpoint.load(folder)[0].requires_grad_(False)
    read = files.read(path)
    pairs = encoding.encode_pairs(coder, read.records, 192, lines=read.lines).pairs
    every, ref = torch.arange(len(pairs)), pairs.reference_logps(reference)
    cfg = dpo.Config(beta=BETA)
    told = []

    @torch.no_grad()
    def measure(model, *rest):
        batch = pairs.batch(model, every, ref)
        told.append(
            {
                "loss": dpo.loss(batch, cfg).mean().item(),
                "rewards/chosen": BETA * batch.chosen.logratio().mean().item(),
                "rewards/rejected": BETA * batch.rejected.logratio().mean().item(),
                "logps/chosen": batch.chosen.logps().mean().item(),
                "logps/rejected": batch.rejected.logps().mean().item(),
            }
        )
        return pd.DataFrame([told[-1]])

    offline.fit(
        policy.requires_grad_(True), reference, pairs, dpo, cfg, steps=STEPS, lr=LR,
        batch_size=len(pairs), every=1, measures=[measure],
    )  # fmt: skip
    return told[:STEPS]


@pytest.mark.parametrize("form", ["conversation", "text"])
@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_run_of_dpo_is_trls(family, form, tmp_path):
    folder = families.save(family, tmp_path / "model")
    data, path = rows(form), tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data))
    mine, other = ours(folder, path), theirs(folder, data, tmp_path / "out")
    assert len(mine) == len(other) == STEPS
    for step, (one, two) in enumerate(zip(mine, other, strict=True)):
        for key in KEYS:
            scale = abs(two[key]) if key.startswith("logps") else 1.0
            assert abs(one[key] - two[key]) <= 1e-5 * scale + 1e-5, (step, key)
    assert mine[-1]["loss"] < 0.5  # it learned: the comparison is not of zeros
