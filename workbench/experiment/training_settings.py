"""What a training command was asked for, checked before anything is built."""

import ast
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin

from workbench.core.errors import BadFile, BadOption, MissingInput, printable
from workbench.core.suggest import suggest
from workbench.feedback.aliases import NAMED
from workbench.feedback.formats import FORMS
from workbench.feedback.groups import REJECTED
from workbench.feedback.rows import check_extension
from workbench.models import lora
from workbench.worlds.registry import world_of

LOGS = ("tensorboard", "wandb")
MOST = 2**31 - 1  # no count of ours is as large, and torch takes none that is larger
USUAL = {"every": 25, "samples": 128}
SOME = {"seeds": 1000, "width": 2**14, "layers": 1000}  # what any machine could do


@dataclass(frozen=True)
class Settings:
    """A training command.

    Attributes:
        method: key of a method.
        world: reviews or stories; None with a preference file.
        pairs: a preference file; None with a world.
        model: folder of a local Hugging Face checkpoint, or a GGUF file; with ``pairs``
            only.
        seeds: number of runs, seeds 0, 1, …
        steps: optimiser steps of each run; None is the family's.
        batch_size: pairs, or responses, per step.
        lr: Adam's step size; None is 1e-3 at width 64, less in proportion for wider
            models; for a checkpoint see ``experiment.pace``.
        micro_batch: examples in memory at once; None is the whole batch.
        warmup: steps over which the step size grows to ``lr``.
        clip: longest gradient, as a 2-norm.
        checkpointing: layers run again in the backward pass, which takes less memory
            and more time; of a policy on a file. None is no.
        every: steps between measures, and between the states kept for ``--resume``;
            None is 25, and of a checkpoint see ``experiment.measuring``.
        options: settings of the method by name, as text.
        users: in reviews, the number of users of different tastes who label; 0 is one
            annotator who likes what gold likes.
        group: responses per prompt, where a policy learns from its own.
        epochs: passes over the data set instead of ``steps``; where a policy learns
            from its own responses, passes over each batch of them, and None is the
            loop's own choice.
        max_words: size of the world of reviews.
        n_pairs: labelled pairs drawn in a world.
        reference_steps: supervised steps that make the reference, where none is given.
        samples: responses sampled at every measure, where nothing can be enumerated;
            None is 128, and of a checkpoint see ``experiment.measuring``.
        max_new: longest sampled response to a prompt of a file, tokens.
        tokenizer: auto, word or byte; for a preference file without a checkpoint.
        max_length: longest sequence of a preference file, tokens.
        form: form of the preference file; None detects it.
        columns: our names of columns of the preference file → the file's own.
        special_tokens: yes reads the tokenizer's special tokens in a text as such, no
            as characters.
        skip_bad: leave out bad lines and count them.
        rejected: of a file's groups, which response the best one makes a pair with: a
            key of ``feedback.groups.REJECTED``.
        lora: shape of an adapter, such as r=16,alpha=32,targets=q_proj+v_proj; with
            ``model`` only. None trains all weights.
        held_out: rows of a preference file that no run trains on; None is a tenth, and
            at most 200.
        eval_pairs: another preference file, which is measured on instead of rows that
            are held out; all rows of ``pairs`` are trained on.
        log: tensorboard or wandb, which gets the measures as well; the run is the same.
        show: encoded examples among the notes; the run is the same.
        width: hidden size of the models made here, a multiple of 16.
        layers: their decoder blocks; 352 × 8 is about 10 million parameters.
        device: cpu or cuda; without a GPU, cuda is the CPU with a warning.
    """

    method: str
    world: str | None = None
    pairs: str | None = None
    model: str | None = None
    seeds: int = 1
    steps: int | None = None
    batch_size: int = 32
    lr: float | None = None
    micro_batch: int | None = None
    warmup: int | None = None
    clip: float | None = None
    checkpointing: bool | None = None
    every: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    users: int = 0
    group: int = 4
    epochs: int | None = None
    max_words: int = 3
    n_pairs: int = 2000
    reference_steps: int = 300
    samples: int | None = None
    max_new: int = 64
    tokenizer: str = "auto"
    max_length: int = 512
    form: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    special_tokens: str = "yes"
    skip_bad: bool = False
    rejected: str = "random"
    show: int = 0
    held_out: int | None = None
    eval_pairs: str | None = None
    log: str | None = None
    lora: str | None = None
    width: int = 64
    layers: int = 2
    device: str = "cpu"

    def __post_init__(self) -> None:
        self._fill()
        if (self.world is None) == (self.pairs is None):
            raise MissingInput("give either --world reviews|stories or --pairs FILE")
        if self.world is not None:
            card = world_of(self.world)
            if self.users and card.tastes is None:
                raise BadOption(
                    f"--users: nobody knows tastes of users in {self.world}"
                )
        elif self.users:
            raise BadOption("--users goes with --world; a file has its own column")
        if self.model is not None and self.pairs is None:
            raise BadOption("--model goes with --pairs; a world has its own vocabulary")
        if self.lora is not None and self.model is None:
            raise BadOption("--lora goes with --model")
        shape = None if self.lora is None else lora.parse(self.lora)
        if shape is not None and shape.quant is not None:
            if find(self.method).card.loop.TRAINS == "reward model":
                raise BadOption("--lora: quant=4bit is for policies alone")
        if self.checkpointing and self.pairs is None:
            raise BadOption("--checkpointing goes with --pairs; a world is small")
        self._check_file()
        least = {"seeds": 1, "steps": 1, "batch_size": 1, "every": 1, "n_pairs": 2}
        least |= {"reference_steps": 1, "samples": 2, "max_new": 1, "max_length": 4}
        least |= {"width": 16, "layers": 1, "users": 0, "group": 1, "epochs": 1}
        least |= {"held_out": 1, "show": 0, "micro_batch": 1, "warmup": 0}
        for name, low in least.items():
            value = getattr(self, name)
            high = SOME.get(name, MOST)
            if value is not None and not low <= value <= high:
                limit = f"at least {low}" if value < low else f"at most {high}"
                raise BadOption(f"--{name.replace('_', '-')} is {limit}")
        if self.width % 16:
            raise BadOption(f"--width is a multiple of 16, not {self.width}")
        if not 2 <= self.max_words <= 5:
            raise BadOption(f"--max-words is 2 to 5, not {self.max_words}")
        for name in ("lr", "clip"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise BadOption(f"--{name} is positive and finite, not {value}")

    def _fill(self) -> None:
        """What is usual where nothing is said; of a checkpoint, the run decides."""
        for name, usual in USUAL.items() if self.model is None else ():
            if getattr(self, name) is None:
                object.__setattr__(self, name, usual)

    def _check_file(self) -> None:
        """What is said of a preference file, as far as that is known without it."""
        check_word("tokenizer", self.tokenizer, ("auto", "word", "byte"))
        check_word("special-tokens", self.special_tokens, ("yes", "no"))
        check_word("rejected", self.rejected, tuple(REJECTED))
        if self.form is not None and self.form not in FORMS:
            raise BadOption(f"the form is one of {', '.join(FORMS)}, not {self.form!r}")
        if self.log is not None:
            check_word("log", self.log, LOGS)
        if self.eval_pairs is not None and self.pairs is None:
            raise BadOption("--eval-pairs goes with --pairs")
        if self.eval_pairs is not None and self.held_out is not None:
            raise BadOption("--eval-pairs takes the place of --held-out: give one")
        for path in filter(None, (self.pairs, self.eval_pairs)):
            check_extension(Path(path))
        check_columns(self.columns)

    @property
    def interval(self) -> int:
        """Steps between measures, asked for or usual."""
        return USUAL["every"] if self.every is None else self.every

    def card(self) -> dict:
        """What identifies the run: the settings and the content of its files."""
        card = asdict(self) | {"options": dict(sorted(self.options.items()))}
        del card["show"], card["log"]
        if self.pairs is not None:
            card["pairs"] = Path(self.pairs).name
            card["pairs_sha256"] = _digest([Path(self.pairs)])
        if self.eval_pairs is not None:
            card["eval_pairs"] = Path(self.eval_pairs).name
            card["eval_pairs_sha256"] = _digest([Path(self.eval_pairs)])
        if self.model is not None:
            card["model"] = Path(self.model).name
            model = Path(self.model)
            files = [model] if model.is_file() else sorted(model.glob("*"))
            card["model_sha256"] = _digest(files)
        return card


# What a profile means where nothing else is said: figure is for one GPU, with decoders
# of about ten million parameters.
SIZES = {
    "ci": {"seeds": 1, "width": 16, "layers": 1, "device": "cpu"},
    "lecture": {"seeds": 1, "width": 64, "layers": 2, "device": "cpu"},
    "figure": {"seeds": 5, "width": 352, "layers": 8, "device": "cuda"},
}


def sizes(profile: str, seeds=None, width=None, layers=None, device=None) -> dict:
    """Seeds, model size and device of a profile; whatever is given wins.

    Raises:
        BadOption: there is no such profile.
    """
    if profile not in SIZES:
        raise BadOption(f"--profile is {', '.join(SIZES)}, not {profile!r}")
    given = {"seeds": seeds, "width": width, "layers": layers, "device": device}
    return SIZES[profile] | {k: v for k, v in given.items() if v is not None}


def check_word(option: str, said: str, allowed: Sequence[str]) -> None:
    """Refuse a word that an option does not take."""
    if said not in allowed:
        *most, last = allowed
        listed = f"{', '.join(most)} or {last}"
        raise BadOption(f"--{option} is {listed}, not {printable(said, 60)!r}")


def check_columns(columns: Mapping[str, str]) -> None:
    """The names of ours that a column of the user's can have."""
    if strange := [name for name in columns if name not in NAMED]:
        near = suggest(strange[0], NAMED)
        listed = ", ".join(NAMED)
        raise BadOption(f"--columns: no {strange[0]!r}{near}; there are {listed}")


def _digest(paths: list[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        try:
            if path.is_file():
                with path.open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
        except (OSError, ValueError) as error:
            message = error.strerror if isinstance(error, OSError) else str(error)
            raise BadFile(path, "cannot be read", message or "") from error
    return total.hexdigest()


def find(key: str) -> ModuleType:
    """The method with this key.

    Raises:
        BadOption: there is none; the message suggests what is near.
    """
    from workbench import catalogue

    found = catalogue.methods()
    if key not in found:
        near = suggest(key, found)
        raise BadOption(f"no method {key!r}{near}; workbench methods lists them all")
    return found[key]


def configure(method: ModuleType, options: Mapping[str, str]):
    """The method's ``Config`` with some settings given as text.

    Raises:
        BadOption: the method has no such setting, or the text is no value for it.
    """
    key, known = method.card.key, {f.name: f for f in fields(method.Config)}
    values = {}
    for name, text in options.items():
        if name not in known:
            there = ", ".join(known) or "none"
            near = suggest(name, known)
            raise BadOption(f"{key} has no setting {name!r}{near}; it has {there}")
        values[name] = _value(f"{key}'s {name}", text, known[name])
        # they weigh nats against rewards, and are divided by
        if (name.startswith("beta") or name == "tau") and not values[name] > 0:
            raise BadOption(f"{key}'s {name} is positive, not {printable(text, 60)}")
    try:
        return method.Config(**values)
    except (ValueError, ArithmeticError) as error:
        raise BadOption(f"{key}: {error}") from None


def _value(name: str, text: str, field: Field) -> object:
    """What a text says, if it is a value of the setting's type; no number is inf."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = text
    wanted, default, short = field.type, field.default, printable(text, 60)
    if get_origin(wanted) is Literal:
        if value not in get_args(wanted) or isinstance(value, bool):
            there = ", ".join(map(str, get_args(wanted)))
            near = suggest(str(value), map(str, get_args(wanted)))
            raise BadOption(f"{name} is one of {there}, not {short!r}{near}")
        return value
    kinds = get_args(wanted) or (wanted,)
    if type(value) is int and abs(value) > MOST:
        raise BadOption(f"{name} is at most {MOST}, not {short}")
    if type(value) is int and float in kinds:
        value = float(value)
    if type(value) not in kinds:
        raise BadOption(f"{name} is like {default!r}, not {short!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadOption(f"{name} is a finite number, not {short}")
    return value
