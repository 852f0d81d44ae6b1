"""Where the methods meet: a world, its reference, and the labels of every seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from workbench.arena.judge import Judge
from workbench.core.seeds import generator
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs
from workbench.feedback.kinds.responses import Responses
from workbench.feedback.labels import Supply, collect_labels
from workbench.loops import offline
from workbench.methods.supervised import sft
from workbench.models import tiny
from workbench.models.policy import Policy
from workbench.worlds.reviews import Reviews
from workbench.worlds.stories import Stories

SFT_STEPS = 60  # of the two policies that reward tokens


@dataclass(frozen=True)
class Known:
    """A data set whose reference log-probs are known already."""

    data: object
    ref: object

    def __len__(self) -> int:
        return len(self.data)

    @property
    def weight(self) -> Tensor:
        """How much each example counts."""
        return self.data.weight

    def reference_logps(self, reference) -> object:
        """What was read when the data set was made."""
        return self.ref

    def batch(self, policy: Policy, rows: Tensor, ref: object) -> object:
        """What the loss reads, for some of the rows."""
        return self.data.batch(policy, rows, ref)


@dataclass(frozen=True)
class Ground:
    """One world with the labels of every seed.

    Attributes:
        world: where prompts and gold rewards come from.
        reference: π_ref, frozen; every method starts from it.
        seeds: one labelling each.
        n: pairs a seed.
        annotator: who labels.
        beta: reward units per nat; the optimum π*_β that distances are measured to.
        held: pairs that nobody trains on, and as many training pairs of each seed are
            measured.
        samples: responses a seed that stand for a policy where nothing is exact.
    """

    world: object
    reference: Policy
    seeds: Sequence[int]
    n: int
    annotator: Annotator
    beta: float = 0.1
    held: int = 200
    samples: int = 64

    @property
    def name(self) -> str:
        """The world's name."""
        return self.world.name

    @property
    def is_exact(self) -> bool:
        """Whether all responses are known."""
        return hasattr(self.world, "tree")

    @cached_property
    def supplies(self) -> list[Supply]:
        """The labels of each seed, in every form."""
        made = []
        for place, seed in enumerate(self.seeds):
            one = self._labels(self.n, generator(seed, "arena"))
            made.append(replace(one, token_reward=partial(self._token_reward, place)))
        return made

    def _labels(self, n: int, stream: torch.Generator) -> Supply:
        return collect_labels(self.world, self.reference, n, self.annotator, stream)

    def data(self, batch_class: type) -> "Known":
        """One data set for the stack of all seeds, member-major; made once a class."""
        if batch_class not in self._known:
            parts = [supply.data(batch_class) for supply in self.supplies]
            whole = type(parts[0]).cat(parts)
            ref = whole.reference_logps(self.reference)
            self._known[batch_class] = Known(whole, ref)
        return self._known[batch_class]

    @cached_property
    def _known(self) -> dict[type, "Known"]:
        return {}

    @cached_property
    def pairs(self) -> Pairs:
        """The training pairs of all seeds."""
        return Pairs.cat([supply.pairs for supply in self.supplies])

    @cached_property
    def held_out(self) -> Pairs:
        """Pairs that nobody trains on, the same for all seeds."""
        return self._labels(self.held, generator(0, "arena", "held out")).pairs

    @cached_property
    def _tastes(self) -> tuple[Policy, Policy]:
        """Stacks that imitate the chosen and the rejected responses of each seed."""
        stacks = []
        for side in ("chosen", "rejected"):
            data = Responses.of(getattr(self.pairs, side))
            run = offline.fit(
                self.reference.copies(len(self.seeds)), None, data, sft, sft.Config(),
                steps=SFT_STEPS, every=SFT_STEPS,
            )  # fmt: skip
            stacks.append(run.policy)
        return tuple(stacks)

    def _token_reward(self, place: int, tokens: Tokens) -> Tensor:
        """σ(log π_good − log π_bad) − ½ of each token: T-REG's contrast.

        The paper asks one model under two prompts for a better and a worse answer; so
        small a model has no such prompts, and learns the two tastes from the labels.
        """
        good, bad = (taste.member(place) for taste in self._tastes)
        with torch.no_grad():
            gap = good.token_logps(tokens) - bad.token_logps(tokens)
        return gap.double().sigmoid() - 0.5

    @cached_property
    def judge(self) -> Judge:
        """What measures a policy on this ground."""
        return Judge(self)


def of_reviews(seeds: Sequence[int], n: int = 256, max_words: int = 3, **settings):
    """The exact world with its shipped reference."""
    world = Reviews(max_words)
    return Ground(world, tiny.reference(world), seeds, n, Annotator(), **settings)


def of_stories(seeds: Sequence[int], n: int = 192, **settings):
    """Stories with their shipped reference; every number there is an estimate."""
    world, settings = Stories(), {"held": 64} | settings
    return Ground(world, tiny.reference(world), seeds, n, Annotator(), **settings)
