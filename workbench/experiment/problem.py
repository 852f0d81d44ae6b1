"""A problem: where to learn, from which labels, starting at which reference.

It does not know which method learns on it, nor how what was learned is evaluated.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from workbench.core.contracts import ExactWorld, Method, World
from workbench.core.memory import is_whole
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kind import DataSet, alike, reads, why_whole
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.kinds.responses import Responses
from workbench.feedback.labels import Labels, collect_labels
from workbench.loops import offline
from workbench.loops.checks import hook
from workbench.methods.supervised import sft
from workbench.models import prompts, tiny
from workbench.models.device import place
from workbench.models.heads import ScoreModel
from workbench.models.lora import Lora
from workbench.models.policy import Policy
from workbench.models.prepared import Prepared
from workbench.worlds.registry import world_of

TASTE_STEPS = 60  # of the two policies that reward tokens


@dataclass(frozen=True)
class Read:
    """A data set whose reference log-probs are read once, by whoever comes first."""

    data: DataSet
    reference: Policy
    kept: dict[tuple[int, ...] | None, object] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.data)

    @property
    def weight(self) -> Tensor:
        """How much each example counts."""
        return self.data.weight

    @property
    def whole(self) -> str | None:
        """Why a batch cannot be read in parts; None if it can."""
        return why_whole(self.data)

    def reference_logps(self, reference, rows: Tensor | None = None) -> object:
        """What the problem's own reference says of these rows, and perhaps of more."""
        asked = None if rows is None else tuple(rows.tolist())
        for known in (None, asked):
            if known in self.kept:
                return self.kept[known]
        made = self.data.reference_logps(self.reference, rows)
        self.kept[None if is_whole(made) else asked] = made
        return made

    def alike(self, rows: Tensor) -> list[Tensor]:
        """Rows in parts: the examples of a part fit into one batch."""
        return alike(self.data, rows)

    def batch(self, policy, rows: Tensor, ref: object) -> object:
        """What the loss reads, for some of the rows."""
        return self.data.batch(policy, rows, ref)


@dataclass(frozen=True)
class Problem:
    """A world, or a preference file, with a reference and the labels of every seed.

    Attributes:
        name: the world's, or the file's.
        reference: π_ref, frozen; every method starts from it. It may still have to be
            trained: see ``ready``.
        vocab: tokens, for the heads of reward models and critics.
        seeds: one labelling and one run each; they train side by side.
        world: where prompts and gold rewards come from; None for a preference file.
        n_pairs: labelled pairs per seed, in a world.
        annotator: who labels, in a world.
        users: the number of users of different tastes who label, in the exact world;
            0 is one annotator who likes what gold likes.
        beta: reward units per nat of the optimum π*_β that regret is measured to.
        held_out_pairs: pairs that nobody trains on, and as many training pairs of each
            seed are measured.
        samples: responses per seed that stand for a policy where nothing is exact.
        max_new: longest sampled response to a prompt of a file, tokens.
        group: responses per prompt where a policy learns from its own.
        epochs: passes over own responses; None is the loop's own choice.
        device: where models run.
        notes: sentences for the user: what was read, left out, cut.
        tokenizer: saved beside each policy; None in a world.
        file: the labels of a preference file, to train on and held out.
        scorer: makes the reward model of a seed, on a checkpoint; None makes a small
            one from scratch.
        lora: trains an adapter in the reference instead of a copy of it; one seed at
            a time.
    """

    name: str
    reference: Policy
    vocab: Any
    seeds: tuple[int, ...] = (0,)
    world: Any = None
    n_pairs: int = 256
    annotator: Annotator = Annotator()
    users: int = 0
    beta: float = 0.1
    held_out_pairs: int = 200
    samples: int = 128
    max_new: int = 64
    group: int = 4
    epochs: int | None = None
    device: str = "cpu"
    notes: tuple[str, ...] = ()
    tokenizer: Any = None
    file: tuple[Labels, Labels] | None = None
    lora: Lora | None = None
    scorer: Callable[[int], ScoreModel] | None = None
    learn_reference: Callable[[], Policy] | None = field(default=None, repr=False)

    # ---- what there is ------------------------------------------------------------

    @property
    def is_exact(self) -> bool:
        """Whether all responses are known."""
        return isinstance(self.world, ExactWorld)

    @property
    def gives(self) -> set[str]:
        """What a loop may ask for beside labels (``core.contracts.Loop.ASKS``)."""
        return set() if self.world is None else given(self.world)

    def of_seed(self, seed: int) -> "Problem":
        """The same problem with one of its seeds."""
        return replace(self, seeds=(seed,))

    @property
    def is_ready(self) -> bool:
        """Whether the reference needs no training."""
        return self.learn_reference is None

    def ready(self) -> "Problem":
        """The same with its reference trained, which is kept on the disk."""
        if self.learn_reference is None:
            return self
        return replace(self, reference=self.learn_reference(), learn_reference=None)

    # ---- labels -------------------------------------------------------------------

    @cached_property
    def labels(self) -> list[Labels]:
        """The labels of each seed, to be had as every kind of data they allow."""
        if self.file is not None:
            return [self.file[0]] * len(self.seeds)
        made = []
        for number, seed in enumerate(self.seeds):
            one = self._draw(self.n_pairs, generator(seed, "labels"))
            made.append(replace(one, token_reward=partial(self._taste, number)))
        return made

    @cached_property
    def held_out(self) -> Labels:
        """Labels that nobody trains on, the same for all seeds."""
        if self.file is not None:
            return self.file[1]
        return self._draw(self.held_out_pairs, generator(0, "labels", "held out"))

    @property
    def trial(self) -> Labels:
        """A few labels, as ``labels`` will be: to see what can be made of them."""
        if self.file is not None:
            return self.file[0]
        # what a data set may lack does not depend on more pairs of a prompt
        n = min(self.n_pairs, 4 * self.world.n_prompts)
        one = self._draw(n, generator(0, "labels", "trial"))
        return replace(one, token_reward=lambda tokens: torch.zeros(tokens.ids.shape))

    def _draw(self, n: int, stream: torch.Generator) -> Labels:
        if not self.users:
            return collect_labels(self.world, self.reference, n, self.annotator, stream)
        tastes = world_of(self.name).tastes(self.world)
        user = torch.randint(self.users, (n,), generator=stream)

        def reward(tokens: Tokens) -> Tensor:
            # rows come as the pairs do, once for each side
            return tastes[user % len(tastes), tokens.prompt, tokens.response]

        made = collect_labels(
            self.world, self.reference, n, self.annotator, stream, reward
        )
        pairs = replace(made.pairs, columns={"users": user})
        return replace(made, pairs=pairs)

    @cached_property
    def pairs(self) -> Pairs:
        """The training pairs of all seeds, member-major."""
        return Pairs.cat([labels.pairs for labels in self.labels])

    @cached_property
    def _read(self) -> dict[type, Read]:
        return {}

    def data(self, method: Method) -> DataSet:
        """The data set of a method for all seeds, member-major; made once per kind.

        Raises:
            MissingInput: the labels lack what such a data set needs.
        """
        wanted = reads(method)
        if wanted not in self._read:
            parts = [labels.data(wanted) for labels in self.labels]
            whole = parts[0] if len(parts) == 1 else type(parts[0]).cat(parts)
            self._read[wanted] = Read(whole, self.reference)
        return self._read[wanted]

    def prepared(self, method: Method, cfg: Any) -> Prepared:
        """Data, policy and reference of a method: its own if it brings some.

        A method with the hook ``prepare`` is prepared for one seed at a time.
        """
        prepare = hook(method, "prepare")
        if prepare is None:
            return Prepared(self.data(method), self.start(), self.reference)
        (labels,), (seed,) = self.labels, self.seeds
        made = self._prepared
        if method.card.key not in made:
            # once: whoever measures reads the policy that the loop trains
            made[method.card.key] = prepare(
                labels, self.world, self.reference, cfg, seed
            )
        return made[method.card.key]

    @cached_property
    def _prepared(self) -> dict[str, Prepared]:
        return {}

    # ---- models -------------------------------------------------------------------

    def start(self) -> Policy:
        """A copy of the reference that can be trained, one per seed."""
        if self.lora is not None:
            return self.lora.start(self.seeds[0])
        if len(self.seeds) == 1:
            return copy.deepcopy(self.reference).requires_grad_(True)
        return self.reference.copies(len(self.seeds))

    def place(self, model):
        """A fresh model, moved to where this problem is computed."""
        return place(model, self.device)

    # ---- who judges own responses -------------------------------------------------

    def reward(self, tokens: Tokens) -> Tensor:
        """Gold reward of each response, reward units."""
        return self.world.gold_reward(tokens)

    def preference(self, prompt: Tensor, one: Tensor, two: Tensor) -> Tensor:
        """p(one ≻ two) of responses by number, where all are known."""
        gold = self.world.gold
        return self.annotator.probability(gold[prompt, one], gold[prompt, two])

    def prefers(self, one: Tokens, two: Tokens) -> Tensor:
        """p(one ≻ two) of responses, row by row."""
        return self.annotator.probability(self.reward(one), self.reward(two))

    def sample(self, policy) -> Tokens:
        """Responses of a policy, with the same prompts and numbers at every measure."""
        stream = generator(0, "measure")
        if self.world is not None:
            asked = torch.arange(self.samples) % self.world.n_prompts
            return policy.sample(self.world, asked, stream)
        known = self._asked
        asked = [known[i % len(known)] for i in range(self.samples)]
        return prompts.respond(policy, asked, self.max_new, stream)

    @cached_property
    def _asked(self) -> list[list[int]]:
        """The prompts of the held-out rows of a file, as tokens."""
        return prompts.prompts_of(shown(self.held_out))

    @property
    def clusters(self) -> Tensor:
        """Which samples of a file answer the same prompt, by number, [sample]."""
        place = {tuple(p): i for i, p in reversed([*enumerate(self._asked)])}
        known = torch.tensor([place[tuple(p)] for p in self._asked])
        return known[torch.arange(self.samples) % len(known)]

    # ---- two tastes, for methods that read a reward of each token -------------------

    @cached_property
    def _tastes(self) -> tuple[Policy, Policy]:
        """Stacks that imitate the chosen and the rejected responses of each seed."""
        stacks = []
        for side in ("chosen", "rejected"):
            data = Responses.of(getattr(self.pairs, side))
            run = offline.fit(
                self.reference.copies(len(self.seeds)), None, data, sft, sft.Config(),
                steps=TASTE_STEPS, every=TASTE_STEPS,
            )  # fmt: skip
            stacks.append(run.policy)
        return tuple(stacks)

    def _taste(self, number: int, tokens: Tokens) -> Tensor:
        """σ(log π_good − log π_bad) − ½ of each token: T-REG's contrast.

        The paper asks one model under two prompts for a better and a worse answer; so
        small a model has no such prompts, and learns the two tastes from the labels.
        """
        good, bad = (taste.member(number) for taste in self._tastes)
        with torch.no_grad():
            gap = good.token_logps(tokens) - bad.token_logps(tokens)
        return gap.double().sigmoid() - 0.5


def given(world: Any) -> set[str]:
    """What a world gives a loop: a rater of responses can also prefer one of two."""
    known = {"reward", "preference"} if isinstance(world, World) else set()
    return known | ({"tree"} if isinstance(world, ExactWorld) else set())


def shown(labels: Labels) -> Tokens:
    """Responses of labels, one per example: the chosen ones, or those with a thumb."""
    return labels.pairs.chosen if labels.pairs is not None else labels.thumbs.tokens


def of_world(
    name: str, seeds: Sequence[int], max_words: int | None = None, **settings
) -> Problem:
    """A world with its shipped reference.

    Args:
        name: of the world (``worlds.registry``).
        seeds: one labelling and one run each.
        max_words: longest response; None is the world's own.
        settings: other attributes of ``Problem``, before those that are usual there.

    Raises:
        BadOption: there is no such world.
        MissingInput: no reference is shipped for it.
    """
    card = world_of(name)
    world = card.make(max_words)
    reference = tiny.reference(world, settings.get("device", "cpu"))
    usual = {k: card.usual[k] for k in ("n_pairs", "held_out_pairs", "samples")
             if k in card.usual}  # fmt: skip
    return Problem(
        name, reference, world.vocab, tuple(seeds), world, **(usual | settings)
    )


def of_reviews(seeds: Sequence[int], max_words: int = 3, **settings) -> Problem:
    """The exact world with its shipped reference; see ``of_world``."""
    return of_world("reviews", seeds, max_words, **settings)


def of_stories(seeds: Sequence[int], **settings) -> Problem:
    """Stories with their shipped reference; every number there is an estimate."""
    return of_world("stories", seeds, **settings)
