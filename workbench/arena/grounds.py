"""Where the methods meet: a world, its reference, the labels, and what is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from workbench.core.batches import Tokens
from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs
from workbench.feedback.responses import Responses
from workbench.feedback.supply import Supply, sample_supply
from workbench.loops import offline
from workbench.measure import calibration, exact
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
        return sample_supply(self.world, self.reference, n, self.annotator, stream)

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
    def _truth(self) -> exact.Tracker | None:
        """Exact measures, where all responses are known."""
        if not self.is_exact:
            return None
        with torch.no_grad():
            ref = self.reference.response_logps(self.world)
        return exact.Tracker(self.world, ref, gold=self.world.gold, beta=self.beta)

    @cached_property
    def _shown(self) -> Pairs:
        """The first training pairs of each seed."""
        rows = torch.arange(len(self.pairs)).unflatten(0, (len(self.seeds), -1))
        return self.pairs[rows[:, : self.held].flatten()]

    @cached_property
    def _ref(self) -> tuple[Tensor, Tensor]:
        return self._shown.reference_logps(self.reference)

    @cached_property
    def _held_ref(self) -> tuple[Tensor, Tensor]:
        return self.held_out.reference_logps(self.reference)

    def measure(self, policy: Policy, score: Callable) -> "pandas.DataFrame":
        """What a policy has become.

        Args:
            policy: a stack, one member a seed.
            score: ``ResponseLogps -> [batch]``, the method's own implicit reward.

        Returns:
            DataFrame, a row a seed: gold (reward units), kl = KL(π‖π_ref) (nats a
            sequence), length; in an exact world frontier_gap, kl_to_optimum and
            regret = β·KL(π‖π*_β); elsewhere the standard errors of gold and kl;
            chosen, rejected: mean log-ratio of the training pairs, nats; accuracy and
            ece of the implicit reward on held-out pairs.
        """
        frame = self._exact(policy) if self._truth else self._sampled(policy)
        frame = frame.assign(seed=list(self.seeds))
        for name, values in self._of_pairs(policy, score).items():
            frame[name] = values
        return frame

    @torch.no_grad()
    def measure_law(self, law: Tensor, place: int, beta: float) -> "pandas.DataFrame":
        """``measure`` of one seed's law over all responses, [prompt, response].

        Args:
            law: log π(y|x), in an exact world.
            place: which seed.
            beta: reward units per nat of its implicit reward.
        """
        moved = law - self.reference.response_logps(self.world)

        def of(tokens: Tokens) -> Tensor:
            return moved[tokens.prompt, tokens.response]

        rows = slice(place * self._shown_each, (place + 1) * self._shown_each)
        seen, new = self._shown[rows], self.held_out
        margin = beta * (of(new.chosen) - of(new.rejected))
        frame = self._exact(law).assign(seed=[self.seeds[place]])
        return frame.assign(
            chosen=of(seen.chosen).mean().item(),
            rejected=of(seen.rejected).mean().item(),
            accuracy=(0.5 + 0.5 * margin.sign()).mean().item(),
            ece=calibration.ece(margin.sigmoid(), torch.ones(len(margin))),
        )

    @property
    def _shown_each(self) -> int:
        return len(self._shown) // len(self.seeds)

    def _exact(self, policy: Policy | Tensor):
        frame = self._truth(policy)
        frame["regret"] = self.beta * frame["kl_to_optimum"]
        names = "gold kl length frontier_gap kl_to_optimum regret"
        return frame[names.split()]

    def _sampled(self, policy: Policy):
        import pandas as pd

        prompt = torch.arange(self.samples) % self.world.n_prompts
        tokens = policy.sample(self.world, prompt, generator(0, "arena", "measure"))
        gold = self.world.gold_reward(tokens)
        # log π − log π_ref of the policy's own samples: unbiased for the KL
        with torch.no_grad():
            gap = policy.token_logps(tokens) - self.reference.token_logps(tokens)
        kl = torch.where(tokens.mask, gap.double(), 0.0).sum(-1)
        values = {"gold": gold, "kl": kl}
        columns = {k: v.unflatten(0, (policy.members, -1)) for k, v in values.items()}
        lengths = tokens.lengths.double().unflatten(0, (policy.members, -1))
        held = {"length": lengths.mean(-1).tolist()}
        for name, value in columns.items():
            held[name] = value.mean(-1).tolist()
            held[f"{name}_stderr"] = (value.std(-1) / self.samples**0.5).tolist()
        return pd.DataFrame(held)

    @torch.no_grad()
    def _of_pairs(self, policy: Policy, score: Callable) -> dict[str, list[float]]:
        members, n = policy.members, len(self._shown)
        seen = self._shown.batch(policy, torch.arange(n), self._ref)
        moved = {
            name: side.logratio().double().unflatten(0, (members, -1)).mean(-1).tolist()
            for name, side in (("chosen", seen.chosen), ("rejected", seen.rejected))
        }
        rows = torch.arange(len(self.held_out)).repeat(members)
        new = self.held_out.batch(policy, rows, self._held_ref)
        margin = (score(new.chosen) - score(new.rejected)).double()
        margin = margin.unflatten(0, (members, -1))
        right = 0.5 + 0.5 * margin.sign()
        won = torch.ones(margin.shape[1])
        errors = [calibration.ece(each.sigmoid(), won) for each in margin]
        return moved | {"accuracy": right.mean(-1).tolist(), "ece": errors}


def of_reviews(seeds: Sequence[int], n: int = 256, max_words: int = 3, **settings):
    """The exact world with its shipped reference."""
    world = Reviews(max_words)
    return Ground(world, tiny.reference(world), seeds, n, Annotator(), **settings)


def of_stories(seeds: Sequence[int], n: int = 192, **settings):
    """Stories with their shipped reference; every number there is an estimate."""
    world, settings = Stories(), {"held": 64} | settings
    return Ground(world, tiny.reference(world), seeds, n, Annotator(), **settings)
