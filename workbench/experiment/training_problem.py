"""The problem of a training command: a world, or a preference file with a model."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from workbench.core.contracts import ExactWorld
from workbench.core.errors import BadCheckpoint, BadOption
from workbench.core.seeds import generator
from workbench.experiment import file_notes
from workbench.experiment.holdout import given, split
from workbench.experiment.problem import Problem, shown
from workbench.experiment.training_settings import Settings, find
from workbench.feedback import files
from workbench.feedback.kinds.responses import Responses
from workbench.feedback.records import text_of
from workbench.loops import offline
from workbench.methods.supervised import sft
from workbench.models import (
    checkpoint,
    encoding,
    lora,
    prompts,
    rendering,
    scorer,
    tiny,
    tokenizer,
)
from workbench.models.device import place
from workbench.models.policy import Policy
from workbench.worlds.registry import world_of

SHIPPED = 64, 2  # width and layers of the reference of stories
LEAST_LENGTH = 8  # tokens of a sequence that the command line takes


def trains_reference(settings: Settings, learn: bool) -> bool:
    """Whether the command has to train a reference first; known before data are read.

    Args:
        settings: the command.
        learn: as in ``of_file``.
    """
    if settings.world is None:
        return learn and settings.model is None
    world = world_of(settings.world).make(settings.max_words)
    if not tiny.is_shipped(world):
        return True
    # an exact world is small: its reference keeps its size
    return not isinstance(world, ExactWorld) and (
        (settings.width, settings.layers) != SHIPPED
    )


def _common(settings: Settings) -> dict:
    """What a problem takes from a command, wherever it is."""
    names = "users group epochs samples max_new device n_pairs".split()
    shared = {name: getattr(settings, name) for name in names}
    if settings.samples is None:  # chosen once the file is known
        del shared["samples"]
    return shared | {"seeds": tuple(range(settings.seeds))}


def of_world(settings: Settings, out: Path, resume: bool) -> Problem:
    """A world; a reference that is not shipped in this size is trained here."""
    card, common = world_of(settings.world), _common(settings)
    world = card.make(settings.max_words)
    common |= {"world": world}
    if not trains_reference(settings, learn=True):
        reference = tiny.reference(world, settings.device)
        return Problem(world.name, reference, world.vocab, **common)
    corpus = Responses.of(world.corpus(card.corpus, generator(0, "corpus")))
    fresh = _fresh(world.vocab, settings, world.max_words + 3)
    train = partial(_learn, fresh, corpus, settings, out / "reference", resume, 64)
    steps = settings.reference_steps
    note = f"reference: {steps} supervised steps on {card.corpus} texts of {world.name}"
    common |= {"notes": (note,), "learn_reference": train}
    return Problem(world.name, fresh, world.vocab, **common)


def of_file(
    settings: Settings,
    out: Path,
    resume: bool,
    learn: bool = True,
    used: Collection[str] = (),
) -> Problem:
    """A preference file, with a checkpoint or a small model made from scratch.

    Nothing is written before ``Problem.ready``.

    Args:
        settings: names the file, the checkpoint, the tokenizer.
        out: the reference will be kept in ``out/reference``.
        resume: continue the reference's training.
        learn: train the small model on the good responses, so that it can
            serve as a reference; supervised fine-tuning starts from fresh weights.
        used: columns that the method reads; the others are named in the notes.
    """
    read, other = (_read(settings, p) for p in (settings.pairs, settings.eval_pairs))
    if settings.model is not None:
        policy, coder = _given(settings)
    else:
        known = [*read.records, *(other.records if other else ())]
        texts = rendering.texts_of(None, known)
        coder, policy = tokenizer.build(texts, settings.tokenizer), None
    coded = _coded(settings, coder, read)
    asked = _asked(read, coded)
    if other is None:
        train, held_out, split_notes = split(coded.labels, asked, settings.held_out)
    else:
        unseen = _coded(settings, coder, other)
        sides = (coded.labels, asked), (unseen.labels, _asked(other, unseen))
        train, held_out, split_notes = given(*sides, other.path.name, used)
        split_notes += unseen.warnings
    whose = None if policy is None else coder
    notes = [*_notes(read, coded, whose, used), *coded.pairing, *split_notes]
    notes += file_notes.examples(coder, coded, read.lines, settings.show)
    if coder.chat_template is None:  # of a checkpoint: it is saved with what it wrote
        coder.chat_template = rendering.CHAT_TEMPLATE
    vocab, teach = tokenizer.vocab_of(coder), None
    if policy is None:
        policy = _fresh(vocab, settings, settings.max_length + settings.max_new)
        # sequences of hundreds of tokens: the fused kernel is three times faster
        policy.network.model.set_attn_implementation("sdpa")
        if learn:
            good, size = Responses.of(shown(train)), settings.batch_size
            kept = out / "reference"
            teach = partial(_learn, policy, good, settings, kept, resume, size)
            how = f"{settings.reference_steps} supervised steps on the good responses"
            notes.append(f"reference: a small decoder after {how}")
    reference = policy.requires_grad_(teach is not None).eval()
    problem = Problem(
        read.path.name, reference, vocab, tokenizer=coder, file=(train, held_out),
        notes=tuple(notes), learn_reference=teach, **_common(settings),
    )  # fmt: skip
    return problem if settings.model is None else _on_checkpoint(problem, settings)


def _on_checkpoint(problem: Problem, settings: Settings) -> Problem:
    """The same with a reward model or an adapter to train, if one was asked for."""
    shape = None if settings.lora is None else lora.parse(settings.lora)
    if find(settings.method).card.loop.TRAINS == "reward model":
        scorer.check(problem.reference)
        made = partial(scorer.of_policy, problem.reference, shape=shape)
        return replace(problem, scorer=made)
    return problem if shape is None else _adapted(problem, shape)


def _given(settings: Settings) -> tuple[Policy, object]:
    """The checkpoint that was named, and its tokenizer."""
    shape = None if settings.lora is None else lora.parse(settings.lora)
    four_bits = shape is not None and shape.quant is not None
    policy, coder = checkpoint.load(settings.model, four_bits=four_bits)
    _check_positions(policy, settings)
    if settings.checkpointing:
        policy.network.save_memory()
    return place(policy, settings.device), coder


def _read(settings: Settings, path: str | None) -> Any:
    """A preference file; None for none."""
    return path and files.read(
        path, settings.form, skip_bad=settings.skip_bad, columns=settings.columns
    )


def _coded(settings: Settings, coder, read: files.PreferenceFile) -> encoding.Encoded:
    return encoding.encode(
        coder, read.records, settings.max_length, file=read.path, lines=read.lines,
        skip_bad=settings.skip_bad, rejected=settings.rejected,
        special=settings.special_tokens == "yes",
    )  # fmt: skip


def _asked(read: files.PreferenceFile, coded: encoding.Encoded) -> list[str]:
    """The prompt of each example that was kept."""
    return [text_of(read.records[i].prompt) for i in coded.kept]


def _adapted(problem: Problem, shape: lora.Shape) -> Problem:
    """The same with an adapter to train, and the reference with it off."""
    adapter = lora.Lora(problem.reference, shape)
    told = "LoRA: {:,} of {:,} numbers are trained".format(*adapter.size)
    return replace(
        problem, reference=adapter.reference, lora=adapter,
        notes=(*problem.notes, told),
    )  # fmt: skip


def _notes(
    read: files.PreferenceFile, coded: encoding.Encoded, coder, used: Collection[str]
) -> list[str]:
    """What was read, left out, cut, not used, and contradicts itself."""
    notes = [read.summary(), coded.summary(), *coded.warnings, *coded.notes]
    notes += file_notes.of_columns(coder, read.records, used)
    return notes + file_notes.of_conflicts(read.records)


def _check_positions(policy: Policy, settings: Settings) -> None:
    """Refuse sequences for which a checkpoint has no positions, before training."""
    most = prompts.positions(policy.network.config)
    needed = settings.max_length + settings.max_new
    if most is None or needed <= most:
        return
    reason = f"it has {most} positions, and sequences have up to {needed} tokens"
    parts = f"--max-length {settings.max_length} and {settings.max_new} of a sample"
    room = most - settings.max_new
    if room < LEAST_LENGTH:
        raise BadCheckpoint(settings.model, "too few positions", f"{reason}: {parts}")
    raise BadOption(f"{settings.model}: {reason}: {parts}; --max-length {room} fits")


def _fresh(vocab, settings: Settings, max_tokens: int) -> Policy:
    size = {"width": settings.width, "layers": settings.layers}
    fresh = tiny.decoder(vocab, **size, max_tokens=max_tokens)
    if settings.checkpointing:
        fresh.network.save_memory()
    return place(fresh, settings.device)


def _learn(
    policy, data, settings: Settings, out: Path, resume: bool, batch: int
) -> Policy:
    run = offline.fit(
        policy, None, data, sft, sft.Config(), steps=settings.reference_steps,
        batch_size=batch, lr=3e-3 * 64 / max(64, settings.width),
        every=settings.interval, out=out, resume=resume, decay=True,
    )  # fmt: skip
    return run.policy.requires_grad_(False).eval()
