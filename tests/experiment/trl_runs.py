"""The same run of DPO twice: by TRL's own trainer, and by ours.

TRL tokenises, pads and trains by itself; nothing is shared but the checkpoint, the rows
and, with LoRA, the adapter that both start from.
"""

import copy
import gc
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from tests.methods.direct.trl_stubs import trainer_class
from workbench.core.logps import sequence_logps
from workbench.feedback import files
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models import checkpoint, encoding
from workbench.models.lora import Lora, Shape

BETA = 0.1
KEYS = ("loss", "rewards/chosen", "rewards/rejected", "logps/chosen", "logps/rejected")


@dataclass(frozen=True)
class Told:
    """What a run says.

    Attributes:
        reference: log-probs of each pair's two responses before training.
        steps: values of ``KEYS`` of each step's batch.
    policy: what was trained; only ours.
    pairs: what it was trained on; only ours.
    """

    reference: list[tuple[float, float]]
    steps: list[dict[str, float]]
    policy: Any = None
    pairs: Any = None


@dataclass(frozen=True)
class Case:
    """A run: the checkpoint's folder, the rows, and how they are trained."""

    folder: Path
    rows: list[dict]
    work: Path
    steps: int = 20
    lr: float = 1e-3
    shape: Shape | None = None

    def adapter(self) -> Path:
        """The untrained adapter that both start from, made once."""
        place = self.work / "untrained"
        if not place.exists():
            base, _ = checkpoint.load(self.folder)
            Lora(base, self.shape).start(0).save(place)
        return place


def theirs(case: Case) -> Told:
    """TRL's, as it logs it; the reference as it computes it beforehand."""
    trainer = trainer_class("trl.trainer.dpo_trainer", "DPOTrainer")
    config = trainer_class("trl.trainer.dpo_config", "DPOConfig")
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def model():
        return AutoModelForCausalLM.from_pretrained(case.folder, dtype="float32")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained, reference = model(), None
        if case.shape is not None:
            adapter = case.adapter()
            trained = PeftModel.from_pretrained(trained, adapter, is_trainable=True)
        else:
            reference = model()
        run = trainer(
            model=trained, ref_model=reference,
            processing_class=AutoTokenizer.from_pretrained(case.folder),
            train_dataset=Dataset.from_list(case.rows),
            args=config(
                output_dir=str(case.work / "trl"), beta=BETA, max_steps=case.steps,
                learning_rate=case.lr, per_device_train_batch_size=len(case.rows),
                lr_scheduler_type="constant", max_grad_norm=1e9, optim="adamw_torch",
                logging_steps=1, max_length=192, report_to=[], use_cpu=True, bf16=False,
                gradient_checkpointing=False, save_strategy="no", disable_tqdm=True,
                precompute_ref_log_probs=True,
            ),
        )  # fmt: skip
        data = run.train_dataset
        run.train()
    logged = [row for row in run.state.log_history if "rewards/chosen" in row]
    del run, trained, reference
    gc.collect()
    before = zip(data["ref_chosen_logps"], data["ref_rejected_logps"], strict=True)
    return Told(
        [(float(one), float(two)) for one, two in before],
        [{key: row[key] for key in KEYS} for row in logged],
    )


def ours(case: Case) -> Told:
    """The same of a run of ours."""
    path = case.work / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in case.rows))
    policy, coder = checkpoint.load(case.folder)
    read = files.read(path)
    pairs = encoding.encode_pairs(coder, read.records, 192, lines=read.lines).pairs
    if case.shape is not None:
        adapted = Lora(policy, case.shape)
        policy, reference = adapted.start(0), adapted.reference
    else:
        reference = copy.deepcopy(policy).requires_grad_(False)
        policy.requires_grad_(True)
    cfg, told = dpo.Config(beta=BETA), []

    def loss(batch, cfg):
        losses = dpo.loss(batch, cfg)
        told.append(_values(batch, losses))
        return losses

    spied = SimpleNamespace(card=dpo.card, Config=dpo.Config, loss=loss)
    offline.fit(
        policy, reference, pairs, spied, cfg, steps=case.steps, lr=case.lr,
        batch_size=len(pairs),
    )  # fmt: skip
    ref = pairs.reference_logps(reference)
    sides = zip(ref, (pairs.chosen, pairs.rejected), strict=True)
    sums = [sequence_logps(logps, t.padded(logps.shape[1]).mask) for logps, t in sides]
    before = list(zip(*(each.tolist() for each in sums), strict=True))
    return Told(before, told, policy, pairs)


@torch.no_grad()
def _values(batch, losses) -> dict[str, float]:
    chosen, rejected = batch.chosen, batch.rejected
    return {
        "loss": losses.mean().item(),
        "rewards/chosen": BETA * chosen.logratio().mean().item(),
        "rewards/rejected": BETA * rejected.logratio().mean().item(),
        "logps/chosen": chosen.logps().mean().item(),
        "logps/rejected": rejected.logps().mean().item(),
    }


@torch.no_grad()
def check_peft_reads(mine: Told, case: Case) -> None:
    """What we save, peft loads with the same log-probs, as it is and merged.

    And the workbench loads what peft saves of it.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    saved, again = case.work / "adapter", case.work / "again"
    mine.policy.save(saved)
    tokens = mine.pairs.both
    expected = sequence_logps(mine.policy.token_logps(tokens), tokens.mask)

    def logps(network) -> torch.Tensor:
        """By the definition, from a transformers model."""
        taken = network(input_ids=tokens.ids).logits[:, :-1].log_softmax(-1)
        taken = taken.gather(-1, tokens.ids[:, 1:, None])[..., 0]
        return torch.where(tokens.mask[:, 1:], taken, 0.0).sum(-1)

    base = AutoModelForCausalLM.from_pretrained(case.folder, dtype="float32")
    untrained = logps(base)
    assert (expected - untrained).abs().max() > 0.1, "the adapter does nothing"
    loaded = PeftModel.from_pretrained(base, saved)
    close = {"rtol": 1e-5, "atol": 1e-4}
    torch.testing.assert_close(logps(loaded), expected, **close)
    loaded.save_pretrained(again)
    torch.testing.assert_close(logps(loaded.merge_and_unload()), expected, **close)
    read, _ = checkpoint.load(again)
    own = sequence_logps(read.token_logps(tokens), tokens.mask)
    torch.testing.assert_close(own, expected, **close)


def check_same(case: Case) -> Told:
    """Run both and compare; returns ours.

    Log-probs to 1e-5 of their size, losses and rewards to 1e-5.
    """
    mine, other = ours(case), theirs(case)
    for one, two in zip(mine.reference, other.reference, strict=True):
        for side in (0, 1):
            assert abs(one[side] - two[side]) <= 1e-5 * abs(two[side]), (one, two)
    assert len(mine.steps) == len(other.steps) == case.steps
    for step, (one, two) in enumerate(zip(mine.steps, other.steps, strict=True)):
        for key in KEYS:
            scale = abs(two[key]) if key.startswith("logps") else 1.0
            gap = abs(one[key] - two[key])
            assert gap <= 1e-5 * scale + 1e-5, (step, key, one[key], two[key])
    return mine
