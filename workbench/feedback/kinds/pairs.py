"""Comparisons: a chosen and a rejected response to the same prompt."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core.errors import BadCall
from workbench.core.fields import frozen, learned, masks, tensors
from workbench.core.logps import Reduce
from workbench.core.memory import (
    Table,
    is_long,
    read_alike,
    read_in_parts,
    rows_at_once,
    table,
)
from workbench.core.tokens import Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.responses import ResponseLogps


def exchanged(batch: Any) -> Any:
    """The same batch; each field of a chosen response has its partner's tensor.

    Partners are called alike but for the words chosen and rejected; a field without
    these words stays as it is.
    """
    values = tensors(batch)
    other = {"chosen": "rejected", "rejected": "chosen"}
    partner = {
        name: "_".join(other.get(word, word) for word in name.split("_"))
        for name in values
    }
    return replace(batch, **{name: values[partner[name]] for name in values})


@dataclass(frozen=True)
class PairLogps:
    """Token log-probs of a chosen and a rejected response, policy and reference."""

    policy_chosen: Float[Tensor, "batch time"] = learned("chosen_mask")
    policy_rejected: Float[Tensor, "batch time"] = learned("rejected_mask")
    ref_chosen: Float[Tensor, "batch time"] = frozen("chosen_mask")
    ref_rejected: Float[Tensor, "batch time"] = frozen("rejected_mask")
    chosen_mask: Bool[Tensor, "batch time"] = masks()
    rejected_mask: Bool[Tensor, "batch time"] = masks()

    @property
    def chosen(self) -> ResponseLogps:
        """The chosen responses alone."""
        return ResponseLogps(self.policy_chosen, self.ref_chosen, self.chosen_mask)

    @property
    def rejected(self) -> ResponseLogps:
        """The rejected responses alone."""
        return ResponseLogps(
            self.policy_rejected, self.ref_rejected, self.rejected_mask
        )

    @property
    def by_name(self) -> dict[str, Tensor]:
        """The tensors by name, for making a batch that has more of them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def margin(self, reduce: Reduce = "sum") -> Float[Tensor, " batch"]:
        """Log-ratio of the chosen minus that of the rejected response, in nats."""
        return self.chosen.logratio(reduce) - self.rejected.logratio(reduce)

    def swapped(self):
        """The same pairs, chosen and rejected exchanged in every field."""
        return exchanged(self)

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values, for generic tests and ``teach.check``."""
        chosen = ResponseLogps.example(generator, batch, time, dtype)
        rejected = ResponseLogps.example(generator, batch, time, dtype)
        return cls(
            policy_chosen=chosen.policy,
            policy_rejected=rejected.policy,
            ref_chosen=chosen.ref,
            ref_rejected=rejected.ref,
            chosen_mask=chosen.mask,
            rejected_mask=rejected.mask,
        )


@dataclass(frozen=True)
class Pairs:
    """Pairs of responses to the same prompt.

    Attributes:
        chosen: the responses called better.
        rejected: the responses called worse.
        weight: how much each pair counts; 1 for drawn pairs, a probability in the
            population form, where both orders of a pair appear.
        columns: what else is known of each pair, a value or a row for each: the user
            who judged it, the turn of a conversation, scores.
    """

    chosen: Tokens
    rejected: Tokens
    weight: Float[Tensor, " batch"]
    columns: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: slice | Tensor) -> "Pairs":
        columns = {name: values[rows] for name, values in self.columns.items()}
        return Pairs(self.chosen[rows], self.rejected[rows], self.weight[rows], columns)

    @property
    def time(self) -> int:
        """Columns of the wider of the two sides; nothing is copied to know it."""
        return max(self.chosen.ids.shape[1], self.rejected.ids.shape[1])

    @property
    def both(self) -> Tokens:
        """Chosen and rejected responses in one batch, chosen first."""
        return Tokens.cat([self.chosen, self.rejected])

    @staticmethod
    def cat(parts: "list[Pairs]") -> "Pairs":
        """Data sets below each other; for a stack of seeds, member-major.

        Columns that one of them lacks are left out.
        """
        shared = set.intersection(*(set(part.columns) for part in parts))
        return Pairs(
            Tokens.cat([part.chosen for part in parts]),
            Tokens.cat([part.rejected for part in parts]),
            torch.cat([part.weight for part in parts]),
            {n: torch.cat([p.columns[n] for p in parts]) for n in sorted(shared)},
        )

    def both_member_major(self, members: int) -> Tokens:
        """``both`` with the rows of each member side by side."""
        rows = torch.arange(len(self)).unflatten(0, (members, -1))
        order = torch.cat([rows, rows + len(self)], dim=1).flatten()
        return self.both[order]

    def _logps(self, policy) -> tuple[Tensor, Tensor]:
        """Token log-probs of chosen and rejected from one forward pass."""
        values = policy.token_logps(self.both_member_major(policy.members))
        halves = values.unflatten(0, (policy.members, 2, -1))
        return halves[:, 0].flatten(0, 1), halves[:, 1].flatten(0, 1)

    @property
    def lengths(self) -> Int[Tensor, "batch 2"]:
        """Tokens of the chosen and the rejected sequence of each pair, with prompts."""
        sides = (self.chosen.attention, self.rejected.attention)
        return torch.stack([side.sum(-1) for side in sides], dim=-1)

    @torch.no_grad()
    def reference_logps(self, reference, rows: Tensor | None = None) -> tuple[Any, Any]:
        """Reference log-probs of pairs, computed once and read at every step.

        Args:
            reference: one policy, or a stack with the rows of each member side by side.
            rows: those that will be asked for; None is all.

        Returns:
            of the chosen and of the rejected, [pair, time]: as of ``Responses``.
        """
        time, lengths = self.time, self.lengths

        def read(some: Tensor) -> Tensor:
            piece = Pairs(
                self.chosen[some].padded(time),
                self.rejected[some].padded(time),
                self.weight[some],
            )
            return torch.stack(piece._logps(reference), dim=1)

        if is_long(reference, int(lengths.sum())):
            longest = lengths.amax(-1)
            both, known = read_alike(reference, longest, rows, read, each=2)
            chosen, rejected = both.unbind(1)
            total = len(self)
            return table(chosen, known, total), table(rejected, known, total)
        chunk = max(1, min(1024, rows_at_once(reference, time) // 2))
        both = read_in_parts(len(self), reference.members, chunk, read)
        return both[:, 0], both[:, 1]

    def batch(self, policy, rows: Tensor, ref: tuple[Table, Table]) -> PairLogps:
        """What a pairwise loss reads, for some of the rows."""
        time = ref[0].shape[1]
        batch = self[rows]
        chosen, rejected = batch._logps(policy)
        return PairLogps(
            policy_chosen=chosen,
            policy_rejected=rejected,
            ref_chosen=ref[0][rows].to(chosen.dtype),
            ref_rejected=ref[1][rows].to(chosen.dtype),
            chosen_mask=batch.chosen.padded(time).mask,
            rejected_mask=batch.rejected.padded(time).mask,
        )


@dataclass(frozen=True)
class AroundPairs:
    """A data set built around pairs.

    Attributes:
        pairs: the comparisons.
    """

    pairs: Pairs

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def weight(self) -> Float[Tensor, " batch"]:
        """How much each pair counts."""
        return self.pairs.weight

    def reference_logps(self, reference, rows: Tensor | None = None):
        """Reference log-probs of pairs, read once before training; see ``Pairs``."""
        return self.pairs.reference_logps(reference, rows)


@dataclass(frozen=True)
class PairsWithoutReference(AroundPairs):
    """Pairs and nothing beside them, for a model that learns without a reference."""

    @classmethod
    def cat(cls, parts: "list[Any]") -> Any:
        """Data sets below each other; for a stack of seeds, member-major."""
        return cls(Pairs.cat([part.pairs for part in parts]))

    def reference_logps(self, reference, rows: Tensor | None = None) -> None:
        """Nothing is read of a reference."""


TRIES = 1000  # draws of two responses that differ


def one_response(prompt: Int[Tensor, " batch"]) -> BadCall:
    """What to say of prompts to which two responses never differ."""
    named = ", ".join(map(str, prompt.unique().tolist()[:5]))
    return BadCall(
        f"no two different responses in {TRIES} tries to prompt {named}: whoever "
        "writes them always writes the same"
    )


def sample_pairs(
    world,
    logps: Float[Tensor, "prompt response"],
    n: int,
    annotator: Annotator,
    generator: torch.Generator,
    reward: Float[Tensor, "prompt response"] | None = None,
) -> Pairs:
    """Draw pairs from a distribution over responses and have them labelled.

    Args:
        world: an enumerable world.
        logps: distribution that both responses are drawn from, independently; pairs of
            twice the same response are drawn again.
        n: number of pairs, prompts in equal shares.
        annotator: who labels.
        generator: source of randomness.
        reward: what the annotator perceives; the world's gold reward if None.

    Raises:
        BadCall: some prompt has one response only.
    """
    reward = world.gold if reward is None else reward
    prompt = torch.arange(n) % world.n_prompts
    first = world.draw_for(logps, prompt, generator).response
    second = first.clone()
    # both are drawn again: a new partner alone would overrate the frequent responses
    for _ in range(TRIES):
        same = first == second
        if not same.any():
            break
        first[same] = world.draw_for(logps, prompt[same], generator).response
        second[same] = world.draw_for(logps, prompt[same], generator).response
    else:
        raise one_response(prompt[first == second])
    prefers = annotator.prefers_first(
        reward[prompt, first],
        reward[prompt, second],
        generator,
        world.n_words[first],
        world.n_words[second],
    )
    chosen = torch.where(prefers, first, second)
    rejected = torch.where(prefers, second, first)
    return Pairs(
        world.tokens(prompt, chosen),
        world.tokens(prompt, rejected),
        torch.ones(n, dtype=torch.float64),
    )


def population_pairs(
    world,
    prompt: int,
    logps: Float[Tensor, " response"],
    annotator: Annotator,
    reward: Float[Tensor, " response"] | None = None,
    responses: Tensor | None = None,
) -> Pairs:
    """Every ordered pair of responses of a prompt, weighted by its probability.

    The weight of (i, j) is μ_i μ_j p(i ≻ j): the loss averaged with it is the expected
    loss of infinitely many labelled pairs. With N responses there are N(N − 1) rows.

    Args:
        world: an enumerable world.
        prompt: number of the prompt.
        logps: log μ, the distribution both responses are drawn from.
        annotator: who labels.
        reward: what the annotator perceives; gold if None.
        responses: restrict to these; all if None.
    """
    reward = world.gold[prompt] if reward is None else reward
    chosen_from = torch.arange(world.n_responses) if responses is None else responses
    i, j = torch.cartesian_prod(chosen_from, chosen_from).unbind(1)
    i, j = i[i != j], j[i != j]
    chance = annotator.probability(
        reward[i], reward[j], world.n_words[i], world.n_words[j]
    )
    weight = (logps[i] + logps[j]).exp() * chance
    prompts = torch.full_like(i, prompt)
    return Pairs(
        world.tokens(prompts, i), world.tokens(prompts, j), weight / weight.mean()
    )


def label_pairs(
    first: Tokens,
    second: Tokens,
    rewards: tuple[torch.Tensor, torch.Tensor],
    annotator: Annotator,
    generator: torch.Generator,
) -> Pairs:
    """Have an annotator label two responses to each prompt.

    Args:
        first: a response to each prompt.
        second: another response to the same prompts, row by row; rows with the same
            tokens are left out, since they are no comparison.
        rewards: what the annotator perceives of each, reward units.
        annotator: who labels.
        generator: source of randomness.
    """
    wins = annotator.prefers_first(*rewards, generator, first.lengths, second.lengths)
    chosen, rejected = in_order(first, second, wins)
    keep = (~first.same(second)).nonzero()[:, 0]
    weight = torch.ones(len(keep), dtype=torch.float64)
    return Pairs(chosen[keep], rejected[keep], weight)


def in_order(
    first: Tokens, second: Tokens, wins: Bool[Tensor, " batch"]
) -> tuple[Tokens, Tokens]:
    """The chosen and the rejected responses of pairs, ``first`` where it wins."""
    both, row = Tokens.cat([first, second]), torch.arange(len(first))
    chosen = torch.where(wins, row, row + len(first))
    rejected = torch.where(wins, row + len(first), row)
    return both[chosen], both[rejected]


kind = Kind("pairs", PairLogps, {("pairs",): lambda labels: labels.pairs})
