"""Where a training command gets its reference, its pairs and its measures from."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from workbench.core.errors import BadCheckpoint, BadOption, MissingInput
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback import files
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import PairLogps, Pairs, label_pairs, sample_pairs
from workbench.feedback.kinds.responses import Responses
from workbench.feedback.labels import Supply, collect_labels
from workbench.feedback.records import text_of
from workbench.loops import offline
from workbench.methods.supervised import sft
from workbench.models import checkpoint, prompts, tiny, tokenizer
from workbench.models.device import place
from workbench.models.policy import Policy
from workbench.train.holdout import MOST, split
from workbench.train.settings import Settings

SHIPPED = 64, 2  # width and layers of the reference of stories
LEAST_LENGTH = 8  # tokens of a sequence that the command line takes


@dataclass(frozen=True)
class Source:
    """What every method is trained from.

    Attributes:
        reference: π_ref, frozen; every run starts from a copy of it. It may still have
            to be trained: see ``ready``.
        vocab: tokens, for the heads of reward models and critics.
        notes: sentences for the user: what was read, left out, cut.
        world: where prompts and gold rewards come from; None for a preference file.
        tokenizer: saved beside each policy; None in a world.
    """

    reference: Policy
    vocab: object
    notes: tuple[str, ...] = ()
    world: object | None = None
    tokenizer: object | None = None
    _pairs: Pairs | None = None
    _held_out: Pairs | None = None
    settings: Settings | None = field(default=None, repr=False)
    _train: Callable[[], Policy] | None = field(default=None, repr=False)

    @property
    def is_ready(self) -> bool:
        """Whether the reference needs no training."""
        return self._train is None

    def ready(self) -> "Source":
        """The same with its reference trained, which is kept on the disk."""
        return replace(self, reference=self._train(), _train=None)

    def start(self) -> Policy:
        """A copy of the reference that can be trained."""
        return copy.deepcopy(self.reference).requires_grad_(True)

    def pairs(self, seed: int) -> Pairs:
        """Training pairs: drawn anew for each seed in a world, the same in a file."""
        if self._pairs is not None:
            return self._pairs
        return self._draw(self.settings.n_pairs, generator(seed, "pairs"))

    def labels(self, seed: int, batch_class: type):
        """The training labels as the data set that makes batches of a class.

        Raises:
            MissingInput: the labels cannot be had in that form.
        """
        if self.world is None or batch_class is PairLogps:
            return Supply(self.pairs(seed)).data(batch_class)
        stream, n = generator(seed, "pairs"), self.settings.n_pairs
        made = collect_labels(self.world, self.reference, n, Annotator(), stream)
        return made.data(batch_class)

    def check_labels(self, batch_class: type) -> None:
        """Make the training labels of a few pairs, as ``labels`` will.

        Raises:
            MissingInput: the labels cannot be had in that form.
        """
        if self.world is None:
            Supply(self._pairs).data(batch_class)
        elif batch_class is not PairLogps:
            # what a data set may lack does not depend on more pairs of a prompt
            n = min(self.settings.n_pairs, 4 * self.world.n_prompts)
            stream = generator(0, "trial")
            made = collect_labels(self.world, self.reference, n, Annotator(), stream)
            made.data(batch_class)

    def held_out(self, seed: int) -> Pairs:
        """Pairs that no run trains on."""
        if self._held_out is not None:
            return self._held_out
        return self._draw(MOST, generator(seed, "held-out pairs"))

    def sample(self, policy: Policy, seed: int) -> Tokens:
        """Responses of a policy, the same prompts and random numbers at every step."""
        stream, n = generator(seed, "measure"), self.settings.samples
        if self.world is not None:
            return policy.sample(
                self.world, torch.arange(n) % self.world.n_prompts, stream
            )
        asked = prompts.prompts_of(self._held_out.chosen)
        asked = [asked[i % len(asked)] for i in range(n)]
        return prompts.respond(policy, asked, self.settings.max_new, stream)

    def _draw(self, n: int, stream: torch.Generator) -> Pairs:
        if self.world.name == "reviews":
            with torch.no_grad():
                logps = self.reference.response_logps(self.world)
            return sample_pairs(self.world, logps, n, Annotator(), stream)
        prompt = torch.arange(n) % self.world.n_prompts
        sides = [self.reference.sample(self.world, prompt, stream) for _ in range(2)]
        rewards = tuple(map(self.world.gold_reward, sides))
        return label_pairs(*sides, rewards, Annotator(), stream)


def trains_reference(settings: Settings, learn: bool) -> bool:
    """Whether the command has to train a reference first, as is known before reading.

    Args:
        settings: the command.
        learn: as in ``of_file``.
    """
    if settings.world is None:
        return learn and settings.model is None
    return settings.world == "stories" and (settings.width, settings.layers) != SHIPPED


def of_reviews(settings: Settings) -> Source:
    """The exact world with its shipped reference."""
    from workbench.worlds.reviews import Reviews

    world = Reviews(settings.max_words)
    reference = tiny.reference(world, settings.device)
    return Source(reference, world.vocab, world=world, settings=settings)


def of_stories(settings: Settings, out: Path, resume: bool) -> Source:
    """Stories; a reference of another size than the shipped one is trained here."""
    from workbench.worlds.stories import Stories

    world = Stories()
    if not trains_reference(settings, learn=True):
        reference = tiny.reference(world, settings.device)
        return Source(reference, world.vocab, world=world, settings=settings)
    corpus = Responses.of(world.corpus(20_000, generator(0, "corpus")))
    fresh = _fresh(world.vocab, settings, world.max_words + 3)
    train = partial(_learn, fresh, corpus, settings, out / "reference", resume, 64)
    note = f"reference: {settings.reference_steps} supervised steps on 20000 stories"
    return Source(fresh, world.vocab, (note,), world, settings=settings, _train=train)


def of_file(settings: Settings, out: Path, resume: bool, learn: bool = True) -> Source:
    """A preference file, with a checkpoint or a small model made from scratch.

    Nothing is written before ``Source.ready``.

    Args:
        settings: names the file, the checkpoint, the tokenizer.
        out: the reference will be kept in ``out/reference``.
        resume: continue the reference's training.
        learn: train the small model on the chosen responses, so that it is a reference
            worth its name; a method that does just that starts from fresh weights.
    """
    read = files.read(settings.pairs, settings.form, skip_bad=settings.skip_bad)
    if read.form == "thumbs":
        raise MissingInput(f"{read.path.name} holds thumbs; this method needs pairs")
    if settings.model is not None:
        policy, coder = checkpoint.load(settings.model)
        policy = place(policy, settings.device)
        _check_positions(policy, settings)
    else:
        texts = tokenizer.texts_of(None, read.records)
        coder, policy = tokenizer.build(texts, settings.tokenizer), None
    coded = tokenizer.encode_pairs(
        coder, read.records, settings.max_length, file=read.path, lines=read.lines,
        skip_bad=settings.skip_bad,
    )  # fmt: skip
    asked = [text_of(read.records[i].prompt) for i in coded.kept]
    train, held, said = split(coded.pairs, asked)
    notes = [read.summary(), coded.summary(), *said]
    vocab, teach = tokenizer.vocab_of(coder), None
    if policy is None:
        policy = _fresh(vocab, settings, settings.max_length + settings.max_new)
        # sequences of hundreds of tokens: the fused kernel is three times faster
        policy.network.model.set_attn_implementation("sdpa")
        if learn:
            shown, size = Responses.of(train.chosen), settings.batch_size
            kept = out / "reference"
            teach = partial(_learn, policy, shown, settings, kept, resume, size)
            how = f"{settings.reference_steps} supervised steps on the chosen responses"
            notes.append(f"reference: a small decoder after {how}")
    reference = policy.requires_grad_(teach is not None).eval()
    data = {"tokenizer": coder, "_pairs": train, "_held_out": held, "_train": teach}
    return Source(reference, vocab, tuple(notes), settings=settings, **data)


def _check_positions(policy: Policy, settings: Settings) -> None:
    """Refuse sequences for which a checkpoint has no positions, before training."""
    most = prompts.positions(policy.network.config)
    needed = settings.max_length + settings.max_new
    if most is None or needed <= most:
        return
    said = f"it has {most} positions, and sequences have up to {needed} tokens"
    parts = f"--max-length {settings.max_length} and {settings.max_new} of a sample"
    room = most - settings.max_new
    if room < LEAST_LENGTH:
        raise BadCheckpoint(settings.model, "too few positions", f"{said}: {parts}")
    raise BadOption(f"{settings.model}: {said}: {parts}; --max-length {room} fits")


def _fresh(vocab, settings: Settings, max_tokens: int) -> Policy:
    size = {"width": settings.width, "layers": settings.layers}
    fresh = tiny.decoder(vocab, **size, max_tokens=max_tokens)
    return place(fresh, settings.device)


def _learn(
    policy, data, settings: Settings, out: Path, resume: bool, batch: int
) -> Policy:
    run = offline.fit(
        policy, None, data, sft, sft.Config(), steps=settings.reference_steps,
        batch_size=batch, lr=3e-3 * 64 / max(64, settings.width),
        every=settings.every, out=out, resume=resume, decay=True,
    )  # fmt: skip
    return run.policy.requires_grad_(False).eval()
