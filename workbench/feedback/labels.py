"""One labelling, every kind of data: what a loss reads decides what it is given.

An annotator feels a noisy utility for each response once. Pairs tell which of two is
greater, thumbs go up for the greater, lists and scores hand the utilities over. Methods
with different needs so learn from the same responses and the same noise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.errors import MissingInput
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.groups import Groups, Rejected
from workbench.feedback.kind import DataSet, kind_of
from workbench.feedback.kinds.pairs import TRIES, Pairs, one_response
from workbench.feedback.kinds.thumbs import Thumbs


@dataclass(frozen=True)
class Labels:
    """Labelled responses, to be had as every kind of data that they allow.

    Attributes:
        pairs: what the annotator called better and worse; None in a file of thumbs.
        thumbs: single responses called good or bad; None where there are pairs.
        groups: of a file with several scored responses to a prompt, one group for each
            of the pairs; None elsewhere.
        utilities: of the chosen and of the rejected responses, reward units; None
            where nothing but the comparison is known.
        proposal: log-probs of the chosen and of the rejected responses under the
            policy that wrote them, nats per sequence.
        own: responses of the reference, two per pair, that nobody judged.
        token_reward: ``Tokens -> [batch, time]``, a reward for each token.
        source: where they come from, as a sentence calls it.
    """

    pairs: Pairs | None = None
    thumbs: Thumbs | None = None
    utilities: tuple[Tensor, Tensor] | None = None
    proposal: tuple[Tensor, Tensor] | None = None
    own: Tokens | None = None
    token_reward: Callable[[Tokens], Tensor] | None = None
    source: str = "the labelling"
    groups: Groups | None = None

    @property
    def parts(self) -> set[str]:
        """What there is of ``kind.PARTS``; a column of the pairs is a part as well."""
        names = "pairs thumbs utilities proposal own token_reward groups".split()
        present = {name for name in names if vars(self)[name] is not None}
        return present | (set(self.pairs.columns) if self.pairs is not None else set())

    @property
    def comparisons(self) -> Pairs:
        """The pairs, for a method that cannot do without.

        Raises:
            MissingInput: there are none.
        """
        if self.pairs is None:
            raise MissingInput(f"{self.source} gives no pairs")
        return self.pairs

    @property
    def scores(self) -> tuple[Tensor, Tensor]:
        """The utilities, for a method that cannot do without, reward units.

        Raises:
            MissingInput: there are none.
        """
        if self.utilities is None:
            raise MissingInput(f"{self.source} gives no scores")
        return self.utilities

    def __getitem__(self, rows: slice | Tensor) -> "Labels":
        """Some of the pairs, or of the responses with thumbs; ``own`` is left out."""

        def some(both: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor] | None:
            return None if both is None else (both[0][rows], both[1][rows])

        return Labels(
            pairs=None if self.pairs is None else self.pairs[rows],
            thumbs=None if self.thumbs is None else self.thumbs[rows],
            utilities=some(self.utilities),
            proposal=some(self.proposal),
            token_reward=self.token_reward,
            source=self.source,
            groups=None if self.groups is None else self.groups[rows],
        )

    def data(self, batch_class: type) -> DataSet:
        """The data set whose batches are of this class.

        Raises:
            MissingInput: the labels lack what such a data set needs.
        """
        return kind_of(batch_class).maker(self.parts, self.source)(self)


def label_groups(
    groups: Groups,
    rejected: Rejected,
    generator: torch.Generator,
    *,
    columns: Mapping[str, Tensor] | None = None,
    source: str = "the labelling",
) -> Labels:
    """Groups of scored responses, and one pair of each: the best and a lower one.

    Args:
        groups: each has a response of lower score than the best, and other tokens.
        rejected: which one; see ``groups.REJECTED``.
        generator: source of randomness.
        columns: what else is known of each group, as in ``Pairs``.
        source: where they come from, as a sentence calls it.
    """
    good, bad = groups.best, groups.rejected(rejected, generator)
    weight = torch.ones(len(groups), dtype=torch.float64)
    sides = groups.tokens[good], groups.tokens[bad]
    return Labels(
        pairs=Pairs(*sides, weight, dict(columns or {})),
        utilities=(groups.scores[good], groups.scores[bad]),
        source=source,
        groups=groups,
    )


@torch.no_grad()
def collect_labels(
    world,
    policy,
    n: int,
    annotator: Annotator,
    generator: torch.Generator,
    reward: Callable[[Tokens], Float[Tensor, " batch"]] | None = None,
) -> Labels:
    """Have a policy write two responses to each prompt, and an annotator judge them.

    Args:
        world: where prompts come from; it need not be enumerable.
        policy: who writes, usually the reference; its log-probs become the proposal.
        n: pairs, prompts in equal shares.
        annotator: who judges; its flips exchange the two utilities of a pair, its
            length bias adds to a utility for every token.
        generator: source of randomness.
        reward: what the annotator perceives; gold if None.

    Raises:
        BadCall: the policy writes nothing but the same response to some prompt.
    """
    prompt = torch.arange(n) % world.n_prompts
    first, second = _different(world, policy, prompt, generator)
    own = Tokens.cat([policy.sample(world, prompt, generator) for _ in range(2)])
    reward = world.gold_reward if reward is None else reward
    utility = []
    for side in (first, second):
        overrated = annotator.length_bias * side.lengths.double()
        utility.append(annotator.utilities(reward(side) + overrated, generator))
    flipped = torch.rand(n, generator=generator, dtype=torch.float64) < annotator.flip
    utility = [torch.where(flipped, utility[1 - i], utility[i]) for i in range(2)]
    wins, row = utility[0] > utility[1], torch.arange(n)
    chosen = torch.where(wins, row, row + n)
    rejected = torch.where(wins, row + n, row)
    both, utilities = Tokens.cat([first, second]), torch.cat(utility)
    logps = [policy.token_logps(side).double().sum(-1) for side in (first, second)]
    proposal = torch.cat(logps)
    weight = torch.ones(n, dtype=torch.float64)
    return Labels(
        pairs=Pairs(both[chosen], both[rejected], weight),
        utilities=(utilities[chosen], utilities[rejected]),
        proposal=(proposal[chosen], proposal[rejected]),
        own=own,
        source=world.name,
    )


def _different(
    world, policy, prompt: Tensor, generator: torch.Generator
) -> tuple[Tokens, Tokens]:
    """Two responses to each prompt; where they are equal, BOTH are drawn again.

    A new partner alone would overrate the frequent responses: a pair of two equal ones
    is mostly of a frequent one, and would keep it.
    """
    first, second = (policy.sample(world, prompt, generator) for _ in range(2))
    for _ in range(TRIES):
        rows = first.same(second).nonzero()[:, 0]
        if not len(rows):
            return first, second
        asked = prompt[rows]
        first = _replaced(first, rows, policy.sample(world, asked, generator))
        second = _replaced(second, rows, policy.sample(world, asked, generator))
    raise one_response(asked)


def _replaced(tokens: Tokens, rows: Tensor, by: Tokens) -> Tokens:
    """The same tokens with some rows taken from another batch."""
    both = Tokens.cat([tokens, by])
    index = torch.arange(len(tokens))
    index[rows] = len(tokens) + torch.arange(len(rows))
    return both[index]
