"""Where a training command gets its reference, its pairs and its measures from."""

import copy
from dataclasses import dataclass, field
from pathlib import Path

import torch

from workbench.core.batches import PairLogps, Tokens
from workbench.core.errors import MissingInput
from workbench.core.seeds import generator
from workbench.feedback import files
from workbench.feedback.annotator import Annotator
from workbench.feedback.compare import compare
from workbench.feedback.pairs import Pairs, sample_pairs
from workbench.feedback.records import text_of
from workbench.feedback.responses import Responses
from workbench.feedback.supply import Supply, sample_supply
from workbench.loops import offline
from workbench.methods.supervised import sft
from workbench.models import checkpoint, prompts, tiny, tokenizer
from workbench.models.device import place
from workbench.models.policy import Policy
from workbench.train.settings import Settings

HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 200


@dataclass(frozen=True)
class Source:
    """What every method is trained from.

    Attributes:
        reference: π_ref, frozen; every run starts from a copy of it.
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
        made = sample_supply(self.world, self.reference, n, Annotator(), stream)
        return made.data(batch_class)

    def held_out(self, seed: int) -> Pairs:
        """Pairs that no run trains on."""
        if self._held_out is not None:
            return self._held_out
        return self._draw(MOST_HELD_OUT, generator(seed, "held-out pairs"))

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
        return compare(*sides, rewards, Annotator(), stream)


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
    if (settings.width, settings.layers) == (64, 2):
        reference = tiny.reference(world, settings.device)
        return Source(reference, world.vocab, world=world, settings=settings)
    corpus = Responses.of(world.corpus(20_000, generator(0, "corpus")))
    fresh = _fresh(world.vocab, settings, world.max_words + 3)
    reference = _learn(fresh, corpus, settings, out / "reference", resume, 64)
    note = f"reference: {settings.reference_steps} supervised steps on 20000 stories"
    return Source(reference, world.vocab, (note,), world, settings=settings)


def of_file(settings: Settings, out: Path, resume: bool, learn: bool = True) -> Source:
    """A preference file, with a checkpoint or a small model made from scratch.

    Args:
        settings: names the file, the checkpoint, the tokenizer.
        out: the reference is kept in ``out/reference``.
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
    else:
        texts = tokenizer.texts_of(None, read.records)
        coder, policy = tokenizer.build(texts, settings.tokenizer), None
    coded = tokenizer.encode_pairs(coder, read.records, settings.max_length)
    asked = [text_of(read.records[i].prompt) for i in coded.kept]
    train, held = _split(coded.pairs, asked)
    notes = [
        read.summary(),
        coded.summary(),
        f"{len(train)} to train, {len(held)} held out",
    ]
    vocab = tokenizer.vocab_of(coder)
    if policy is None:
        policy = _fresh(vocab, settings, settings.max_length + settings.max_new)
        # sequences of hundreds of tokens: the fused kernel is three times faster
        policy.network.model.set_attn_implementation("sdpa")
        if learn:
            shown = Responses.of(train.chosen)
            batch = settings.batch_size
            policy = _learn(policy, shown, settings, out / "reference", resume, batch)
            how = f"{settings.reference_steps} supervised steps on the chosen responses"
            notes.append(f"reference: a small decoder after {how}")
    reference = policy.requires_grad_(False).eval()
    kept = {"tokenizer": coder, "_pairs": train, "_held_out": held}
    return Source(reference, vocab, tuple(notes), settings=settings, **kept)


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


def _split(pairs: Pairs, asked: list[str]) -> tuple[Pairs, Pairs]:
    """Hold a tenth out, all pairs of a prompt on one side."""
    if len(pairs) < 2:
        raise MissingInput("one pair is left: there is nothing to hold out")
    groups = {text: i for i, text in enumerate(dict.fromkeys(asked))}
    # one prompt alone cannot be on both sides, so its pairs are split
    group = [groups[text] for text in asked] if len(groups) > 1 else range(len(asked))
    group = torch.tensor(list(group))
    order = torch.randperm(int(group.max()) + 1, generator=generator(0, "held out"))
    size = max(1, min(MOST_HELD_OUT, round(HELD_OUT_SHARE * len(pairs))))
    sizes = torch.bincount(group)[order].cumsum(0)
    taken = order[: max(1, int((sizes <= size).sum()))]
    held = torch.isin(group, taken)
    rows = torch.arange(len(pairs))
    return pairs[rows[~held]], pairs[rows[held]]
