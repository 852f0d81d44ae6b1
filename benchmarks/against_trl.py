"""Total training time of DPO: ``offline.fit`` against TRL's DPOTrainer.

Same model, same pairs, same number of steps and batch size, reference included, on one
thread. TRL tokenises text, so the reviews are given to it as words and a word-level
tokenizer is made for it; its time is that of ``trainer.train()`` alone, without the
construction of the trainer.
"""

import tempfile
import time

import torch

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs
from workbench.loops import offline
from workbench.methods.direct.links import dpo
from workbench.models import tiny
from workbench.worlds.reviews import Reviews

STEPS, BATCH = 60, 32


def tokenizer(world: Reviews):
    """A word-level tokenizer with the world's ids."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(WordLevel(world.vocab.ids, unk_token="<pad>"))
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<pad>"
    )


def texts(world: Reviews, pairs: Pairs) -> list[dict[str, str]]:
    """The pairs as TRL reads them."""

    def row(prompt, chosen, rejected):
        words = [world.text(int(i)) for i in (chosen, rejected)]
        words = ["" if text == "(silence)" else text for text in words]
        name = world.prompts[int(prompt)]
        return {"prompt": name, "chosen": " " + words[0], "rejected": " " + words[1]}

    columns = pairs.chosen.prompt, pairs.chosen.response, pairs.rejected.response
    return [row(*found) for found in zip(*columns, strict=True)]


def trl_seconds(world: Reviews, pairs: Pairs, folder: str) -> float:
    """Wall-clock seconds of TRL's training."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    settings = DPOConfig(
        folder, max_steps=STEPS, per_device_train_batch_size=BATCH, bf16=False,
        learning_rate=1e-3, beta=0.1, gradient_checkpointing=False, use_cpu=True,
        logging_steps=STEPS, save_strategy="no", report_to=[], disable_tqdm=True,
        precompute_ref_log_probs=True, dataloader_num_workers=0,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=tiny.decoder(world.vocab, seed=0).network.model,
        ref_model=tiny.reference(world).network.model,
        args=settings,
        train_dataset=Dataset.from_list(texts(world, pairs)),
        processing_class=tokenizer(world),
    )
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start


def dpo_training(world: Reviews, rounds: int = 3) -> tuple[float, float, float]:
    """Median seconds of ours and of TRL's, taking turns, and their ratio."""
    pairs = sample_pairs(world, world.author, STEPS * BATCH, Annotator(), generator(0))
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        offline.fit(
            tiny.decoder(world.vocab, seed=0), tiny.reference(world), pairs, dpo,
            dpo.Config(), steps=STEPS, batch_size=BATCH, every=10**9,
        )  # fmt: skip
        ours = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            found.append((ours, trl_seconds(world, pairs, folder)))
    mine, other = (
        torch.tensor(column).median().item() for column in zip(*found, strict=True)
    )
    return mine, other, torch.tensor([a / b for a, b in found]).median().item()
