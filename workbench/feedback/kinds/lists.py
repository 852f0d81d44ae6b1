"""Lists of scored responses to the same prompt."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core.errors import BadCall, MissingInput
from workbench.core.fields import constant, frozen, learned, masks
from workbench.core.logps import Reduce, sequence_logps
from workbench.core.memory import Table
from workbench.core.pairwise_sums import differences
from workbench.core.tokens import Tokens
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.responses import ResponseLogps, Responses


@dataclass(frozen=True)
class ListLogps:
    """Token log-probs of several responses to each prompt; an example is a list.

    Attributes:
        policy: token log-probs under the policy that learns.
        ref: token log-probs under the reference (or another anchor).
        mask: True on response tokens.
        scores: reward of each response, reward units; in no order.
        proposal: log-prob of each response under the distribution it was drawn from,
            nats.
    """

    policy: Float[Tensor, "batch group time"] = learned("mask")
    ref: Float[Tensor, "batch group time"] = frozen("mask")
    mask: Bool[Tensor, "batch group time"] = masks()
    scores: Float[Tensor, "batch group"] = constant()
    proposal: Float[Tensor, "batch group"] = constant()

    def logps(self, reduce: Reduce = "sum") -> Float[Tensor, "batch group"]:
        """log π(y|x), in nats per sequence (or per token for ``"mean"``)."""
        return sequence_logps(self.policy, self.mask, reduce)

    def logratio(self, reduce: Reduce = "sum") -> Float[Tensor, "batch group"]:
        """log π(y|x) − log π_ref(y|x), no gradient into the reference."""
        return sequence_logps(self.policy - self.ref.detach(), self.mask, reduce)

    def swapped(self):
        """The same lists with the scores negated: the worst response is the best."""
        return replace(self, scores=-self.scores)

    @property
    def win_rates(self) -> Float[Tensor, "batch group"]:
        """Mean Bradley–Terry chance to beat the others of the list, from the scores."""
        chance = differences(self.scores).sigmoid()
        # a response does not meet itself, which would count one half
        return (chance.sum(-1) - 0.5) / max(1, self.scores.shape[-1] - 1)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, three responses per list."""
        flat = ResponseLogps.example(generator, 3 * batch, time, dtype)
        policy, ref, mask = (
            value.unflatten(0, (batch, 3))
            for value in (flat.policy, flat.ref, flat.mask)
        )
        scores = torch.randn(batch, 3, generator=generator, dtype=dtype)
        noise = torch.randn(batch, 3, generator=generator, dtype=dtype)
        proposal = sequence_logps(ref, mask) + 0.3 * noise
        return cls(policy, ref, mask, scores, proposal)


@dataclass(frozen=True)
class Lists:
    """Several responses to each prompt, with a reward each.

    Attributes:
        tokens: the responses, those of a list side by side.
        scores: reward of each response, reward units.
        proposal: log-prob of each under the distribution it was drawn from, nats per
            sequence.
        weight: how much each list counts.
    """

    tokens: Tokens
    scores: Float[Tensor, "batch group"]
    proposal: Float[Tensor, "batch group"]
    weight: Float[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def group(self) -> int:
        """Responses per list."""
        return self.scores.shape[1]

    def _rows(self, lists: slice | Tensor) -> Tensor:
        """The rows of ``tokens`` that belong to some lists, list by list."""
        every = torch.arange(len(self.tokens)).unflatten(0, (-1, self.group))
        return every[lists].flatten()

    def __getitem__(self, lists: slice | Tensor) -> "Lists":
        return Lists(
            self.tokens[self._rows(lists)],
            self.scores[lists],
            self.proposal[lists],
            self.weight[lists],
        )

    @staticmethod
    def cat(parts: "list[Lists]") -> "Lists":
        """Data sets below each other; for a stack of seeds, member-major."""
        names = ("scores", "proposal", "weight")
        joined = {n: torch.cat([getattr(p, n) for p in parts]) for n in names}
        return Lists(tokens=Tokens.cat([part.tokens for part in parts]), **joined)

    def reference_logps(self, reference, rows: Tensor | None = None) -> Any:
        """Reference log-probs of the responses of lists, [list · group, time]."""
        flat = None if rows is None else self._rows(rows)
        return Responses.of(self.tokens).reference_logps(reference, flat)

    def batch(self, policy, rows: Tensor, ref: Table) -> ListLogps:
        """What a listwise loss reads, for some of the lists."""
        flat = self._rows(rows)
        tokens = self.tokens[flat]
        values = policy.token_logps(tokens)

        def lists(rows_of_tokens: Tensor) -> Tensor:
            return rows_of_tokens.unflatten(0, (-1, self.group))

        return ListLogps(
            policy=lists(values),
            ref=lists(ref[flat].to(values.dtype)),
            mask=lists(tokens.mask),
            scores=self.scores[rows].to(values.dtype),
            proposal=self.proposal[rows].to(values.dtype),
        )


@dataclass(frozen=True)
class MixedLists:
    """Lists of several lengths; those of one length make a batch.

    Attributes:
        parts: the lists of each length, as any data set of lists.
        place: of each list its part, and its row in that part.
    """

    parts: tuple[Any, ...]
    place: Int[Tensor, "batch 2"]

    def __len__(self) -> int:
        return len(self.place)

    @property
    def weight(self) -> Float[Tensor, " batch"]:
        """How much each list counts, whatever its length."""
        return torch.ones(len(self), dtype=torch.float64)

    def alike(self, rows: Tensor) -> list[Tensor]:
        """Rows in parts: the lists of a part have one length."""
        part = self.place[rows, 0]
        return [rows[part == number] for number in part.unique().tolist()]

    def reference_logps(self, reference, rows: Tensor | None = None) -> list[Any]:
        """Reference log-probs of the responses of lists, for each length."""
        place = self.place[slice(None) if rows is None else rows]
        return [
            part.reference_logps(reference, place[place[:, 0] == number, 1])
            for number, part in enumerate(self.parts)
        ]

    def batch(self, policy, rows: Tensor, ref: list | None) -> Any:
        """What a listwise loss reads, for some of the lists of one length.

        Raises:
            BadCall: the policy is a stack, whose members may draw other lengths.
        """
        if policy.members > 1:
            raise BadCall("lists of several lengths train one seed after the other")
        number = int(self.place[rows[0], 0])
        known = None if ref is None else ref[number]
        return self.parts[number].batch(policy, self.place[rows, 1], known)


def sample_lists(
    world,
    logps: Float[Tensor, "prompt response"],
    n: int,
    group: int,
    generator: torch.Generator,
    reward: Float[Tensor, "prompt response"] | None = None,
    *,
    noise: float = 0.0,
) -> Lists:
    """Draw lists from a distribution over responses and have them scored.

    Args:
        world: an enumerable world.
        logps: distribution that all responses are drawn from, independently.
        n: lists, prompts in equal shares.
        group: responses per list; the same one may come twice.
        generator: source of randomness.
        reward: what is scored; gold if None.
        noise: standard deviation of Gaussian noise on each score, reward units.
    """
    reward = world.gold if reward is None else reward
    prompt = (torch.arange(n) % world.n_prompts).repeat_interleave(group)
    tokens = world.draw_for(logps, prompt, generator)
    scores = reward[prompt, tokens.response].double()
    drawn = torch.randn(len(scores), generator=generator, dtype=torch.float64)
    return Lists(
        tokens=tokens,
        scores=(scores + noise * drawn).unflatten(0, (n, group)),
        proposal=logps[prompt, tokens.response].double().unflatten(0, (n, group)),
        weight=torch.ones(n, dtype=torch.float64),
    )


def join(labels, group: int = 4) -> Lists:
    """Pairs of one prompt joined to lists; pairs left over are left out.

    Args:
        labels: ``feedback.labels.Labels`` with utilities and proposal.
        group: responses per list, an even number.

    Raises:
        MissingInput: no prompt has so many responses.
    """
    utilities = torch.stack(labels.utilities, dim=1)
    proposal = torch.stack(labels.proposal, dim=1)
    prompt, per = labels.pairs.chosen.prompt, group // 2
    chosen = []
    for each in prompt.unique().tolist():
        rows = (prompt == each).nonzero().flatten()
        chosen.append(rows[: len(rows) // per * per].unflatten(0, (-1, per)))
    rows = torch.cat(chosen)
    if not len(rows):
        raise MissingInput(f"no prompt has the {group} responses of a list")
    n = len(labels.pairs)
    # a list holds both responses of each of its pairs
    responses = torch.stack([rows, rows + n], dim=-1).flatten()
    return Lists(
        tokens=labels.pairs.both[responses],
        scores=utilities[rows].flatten(1),
        proposal=proposal[rows].flatten(1),
        weight=torch.ones(len(rows), dtype=torch.float64),
    )


def of_groups(labels) -> Lists | MixedLists:
    """The groups of a file with their scores; nobody knows the proposal (NaN)."""
    groups, parts = labels.groups, []
    place = torch.zeros(len(groups), 2, dtype=torch.long)
    for number, size in enumerate(groups.sizes.unique().tolist()):
        rows = (groups.sizes == size).nonzero()[:, 0]
        place[rows] = torch.stack(
            [torch.full_like(rows, number), torch.arange(len(rows))], dim=-1
        )
        some = groups[rows]
        scores = some.scores.unflatten(0, (-1, size))
        unknown = torch.full_like(scores, torch.nan)
        weight = torch.ones(len(rows), dtype=torch.float64)
        parts.append(Lists(some.tokens, scores, unknown, weight))
    return parts[0] if len(parts) == 1 else MixedLists(tuple(parts), place)


kind = Kind(
    "lists",
    ListLogps,
    {("groups",): of_groups, ("pairs", "utilities", "proposal"): join},
)
