"""SmolLM2 against TRL and transformers: ratios of time and of peak memory, in one run.

    python benchmarks/smollm2.py                 # LoRA DPO, and sampling
    python benchmarks/smollm2.py --batch 8 --rounds 10 --threads 2
    python benchmarks/smollm2.py --parity 20     # losses and rewards of so many steps

Each contestant is a process of its own that stops before every step until it is its
turn, so that a busy machine slows both alike. Training is ``offline.fit`` and TRL's
``DPOTrainer`` on the same model, rows, batch and shape of adapter, with the reference's
log-probs computed beforehand in both; sampling is ours and ``generate`` from the same
prompts, in seconds per token and batch.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHAPE = {"r": 16, "alpha": 32, "targets": ("q_proj", "v_proj")}
LENGTH, NEW = 256, 48  # longest sequence, and sample, in tokens
WORDS = (
    "the a green small river house walks quickly over under because people like tea "
    "every morning while it rains and nobody knows where the old map of town has gone"
).split()


def rows(count: int) -> list[dict]:
    """Pairs of conversations of 20 to 60 words, the same at every call."""
    stream = random.Random(0)

    def turn(role: str, words: int) -> list[dict]:
        text = " ".join(stream.choices(WORDS, k=words))
        return [{"role": role, "content": text}]

    return [
        {
            "prompt": turn("user", stream.randint(5, 15)),
            "chosen": turn("assistant", stream.randint(15, 45)),
            "rejected": turn("assistant", stream.randint(15, 45)),
        }
        for _ in range(count)
    ]


# ---- a contestant -----------------------------------------------------------------


class Turns:
    """The parent's word before every piece of work, and the seconds that it took."""

    def __init__(self):
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what libraries print is no answer
        self._since = None

    def take(self, pieces: int = 1) -> None:
        """Say how long the work since the last turn took, and wait for the next."""
        if self._since is None:
            self._say(before=_resident())
        else:
            self._tell(pieces)
        if not sys.stdin.readline():
            raise SystemExit
        self._since = _clocks()

    def end(self, pieces: int = 1) -> None:
        """The last piece of work is done; say what memory all of it took."""
        self._tell(pieces)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self._say(peak=peak)

    def _tell(self, pieces: int) -> None:
        spent = [
            (now - then) / pieces
            for now, then in zip(_clocks(), self._since, strict=True)
        ]
        self._say(spent=spent)

    def _say(self, **told) -> None:
        self._out.write(json.dumps(told) + "\n")
        self._out.flush()


def _clocks() -> tuple[float, float]:
    """Seconds on the wall, and of this process on its processors."""
    return time.perf_counter(), time.process_time()


def _resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def train_ours(work: Path, turns: Turns, asked) -> None:
    """Steps of ``offline.fit``; a measure before each step hands over the turn."""
    import pandas as pd

    from workbench.feedback import files
    from workbench.loops import offline
    from workbench.methods.direct.links import dpo
    from workbench.models import checkpoint, encoding
    from workbench.models.lora import Lora, Shape

    policy, coder = checkpoint.load(asked.model)
    pairs = encoding.encode_pairs(
        coder, files.read(work / "pairs.jsonl").records, LENGTH
    ).pairs
    adapted = Lora(policy, Shape(**SHAPE))

    def measure(policy, *rest):
        if measure.left:
            turns.take()
        measure.left -= 1
        return pd.DataFrame([{"left": measure.left}])

    measure.left = asked.rounds
    offline.fit(
        adapted.start(0), adapted.reference, pairs, dpo, dpo.Config(beta=0.1),
        steps=asked.rounds, lr=1e-4, batch_size=asked.batch, every=1,
        measures=[measure],
    )  # fmt: skip
    turns.end()


def train_trl(work: Path, turns: Turns, asked) -> None:
    """Steps of TRL's trainer; a callback before each step hands over the turn."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    class Wait(TrainerCallback):
        def on_step_begin(self, args, state, control, **rest):
            turns.take()

    settings = DPOConfig(
        str(work / "trl"), max_steps=asked.rounds, beta=0.1, learning_rate=1e-4,
        per_device_train_batch_size=asked.batch, max_length=LENGTH, bf16=False,
        gradient_checkpointing=False, use_cpu=True, logging_steps=10**6,
        save_strategy="no", report_to=[], disable_tqdm=True,
        precompute_ref_log_probs=True, dataloader_num_workers=0,
        lr_scheduler_type="constant", max_grad_norm=1e9, optim="adamw_torch",
    )  # fmt: skip
    lines = (work / "pairs.jsonl").read_text().splitlines()
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(asked.model, dtype="float32"),
        args=settings,
        train_dataset=Dataset.from_list([json.loads(line) for line in lines]),
        processing_class=AutoTokenizer.from_pretrained(asked.model),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=SHAPE["r"], lora_alpha=SHAPE["alpha"],
            target_modules=list(SHAPE["targets"]), lora_dropout=0.0,
        ),
        callbacks=[Wait()],
    )  # fmt: skip
    trainer.train()
    turns.end()


def prompts(coder, work: Path, batch: int):
    """The first prompts of the file, as the template writes them, left-padded."""
    coder.padding_side = "left"
    lines = (work / "pairs.jsonl").read_text().splitlines()[:batch]
    asked = [json.loads(line)["prompt"] for line in lines]
    return coder.apply_chat_template(
        asked, add_generation_prompt=True, padding=True, return_tensors="pt",
        return_dict=True,
    )  # fmt: skip


def sample_ours(work: Path, turns: Turns, asked) -> None:
    """Our own samples: one batch a turn."""
    from workbench.core.seeds import generator
    from workbench.models import checkpoint
    from workbench.models.sampling import sample

    policy, coder = checkpoint.load(asked.model)
    given = prompts(coder, work, asked.batch)
    ids, seen = given["input_ids"], given["attention_mask"].bool()
    pieces = 1
    for turn in range(asked.rounds):
        turns.take(pieces)
        made, _ = sample(policy, ids, NEW, generator(turn), attention=seen)
        pieces = made.shape[1] - ids.shape[1]
    turns.end(pieces)


def sample_generate(work: Path, turns: Turns, asked) -> None:
    """``generate`` of transformers, from the same prompts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(asked.model, dtype="float32").eval()
    given = prompts(AutoTokenizer.from_pretrained(asked.model), work, asked.batch)
    pieces = 1
    for turn in range(asked.rounds):
        turns.take(pieces)
        torch.manual_seed(turn)
        made = model.generate(**given, do_sample=True, top_k=0, max_new_tokens=NEW)
        pieces = made.shape[1] - given["input_ids"].shape[1]
    turns.end(pieces)


SIDES = {
    side.__name__: side
    for side in (train_ours, train_trl, sample_ours, sample_generate)
}


# ---- the contest ------------------------------------------------------------------


class Contestant:
    """A process that works a piece at a time.

    Attributes:
        before: bytes that it held before the first piece.
        spent: seconds of each piece, on the wall and of the processor.
        peak: bytes that it ever held.
    """

    def __init__(self, side: str, arguments: list[str]):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
        self._side = side
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--side", side, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True, env=environment,
        )  # fmt: skip
        self.before, self.peak, self.spent = self._hear("before"), 0, []

    def work(self) -> None:
        """One piece."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        self.spent.append(self._hear("spent"))

    def end(self) -> None:
        """After the last piece: what memory it took."""
        self.peak = self._hear("peak")
        self._process.wait()

    def _hear(self, name: str):
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SystemExit(f"{self._side} ended early:\n{self._log.read()[-2000:]}")
        return json.loads(line)[name]


def contest(name: str, sides: tuple[str, str], arguments: list[str], rounds: int):
    """Take turns and print the ratios, ours to theirs; the first turn warms up."""
    ours, theirs = (Contestant(side, arguments) for side in sides)
    for turn in range(rounds):
        for one in (ours, theirs) if turn % 2 else (theirs, ours):
            one.work()
        _print(name, "turn", turn, ours.spent[-1], theirs.spent[-1])
    for one in (ours, theirs):
        one.end()
    medians = [
        [statistics.median(c) for c in zip(*one.spent[1:], strict=True)]
        for one in (ours, theirs)
    ]
    _print(name, "median", rounds - 1, *medians)
    grown = (ours.peak - ours.before) / (theirs.peak - theirs.before)
    print(
        f"{name}: peak memory {ours.peak / theirs.peak:.3f}; of the work alone, above "
        f"what each held before it, {grown:.3f}"
    )


def _print(name: str, what: str, number: int, ours, theirs) -> None:
    wall, processor = (a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"{name}: {what} {number}: time {wall:.3f}, of the processor {processor:.3f}",
        flush=True,
    )


def main() -> None:
    """Read the arguments; contest, or compare numbers."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--model", help="folder of a checkpoint; SmolLM2 by default")
    reader.add_argument("--rounds", type=int, default=8)
    reader.add_argument("--batch", type=int, default=4)
    reader.add_argument("--threads", type=int, default=1)
    reader.add_argument("--only", choices=["train", "sample"])
    reader.add_argument("--parity", type=int, help="steps to compare with TRL")
    reader.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    reader.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = reader.parse_args()
    sys.path.insert(0, str(ROOT))
    import torch

    torch.set_num_threads(asked.threads)
    if asked.side:
        SIDES[asked.side](asked.work, Turns(), asked)
        return
    if asked.model is None:
        from workbench.models import smollm

        asked.model = str(smollm.folder(echo=print))
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        if asked.parity:
            _parity(asked, work)
            return
        text = "".join(json.dumps(row) + "\n" for row in rows(asked.batch * 8))
        (work / "pairs.jsonl").write_text(text)
        arguments = ["--work", place, "--model", asked.model]
        for name in ("rounds", "batch", "threads"):
            arguments += [f"--{name}", str(getattr(asked, name))]
        if asked.only != "sample":
            contest("LoRA DPO", ("train_ours", "train_trl"), arguments, asked.rounds)
        if asked.only != "train":
            sides = "sample_ours", "sample_generate"
            contest("sampling", sides, arguments, asked.rounds)


def _parity(asked, work: Path) -> None:
    """Losses and rewards of both, step by step; an assertion where they differ."""
    from tests.experiment.test_trl_smollm2 import conversation
    from tests.experiment.trl_runs import Case, check_same
    from workbench.models.lora import Shape

    # an adapter's usual step size; at ten times that, rewards near −6 are 2e-5 apart
    # from the 14th step on, 4e-6 of their size
    for name, lr, shape in (("all weights", 1e-5, None), ("LoRA", 1e-4, Shape(4, 8))):
        place = work / name
        place.mkdir()
        case = Case(Path(asked.model), conversation(), place, asked.parity, lr, shape)
        last = check_same(case).steps[-1]
        print(
            f"{name}: {asked.parity} steps agree; the last loss is {last['loss']:.4f}"
        )


if __name__ == "__main__":
    main()
