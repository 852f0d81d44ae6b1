"""Comparisons: data sets of a chosen and a rejected response."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.batches import PairLogps, PairScores, Tokens
from workbench.feedback.annotator import Annotator
from workbench.feedback.responses import read_in_parts, rows_at_once


@dataclass(frozen=True)
class Pairs:
    """Pairs of responses to the same prompt.

    Attributes:
        chosen: the responses called better.
        rejected: the responses called worse.
        weight: how much each pair counts; 1 for drawn pairs, a probability in the
            population form, where both orders of a pair appear.
    """

    chosen: Tokens
    rejected: Tokens
    weight: Float[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: slice | Tensor) -> "Pairs":
        return Pairs(self.chosen[rows], self.rejected[rows], self.weight[rows])

    @property
    def both(self) -> Tokens:
        """Chosen and rejected responses in one batch, chosen first."""
        return Tokens.cat([self.chosen, self.rejected])

    @staticmethod
    def cat(parts: "list[Pairs]") -> "Pairs":
        """Data sets below each other; for a stack of seeds, member-major."""
        return Pairs(
            Tokens.cat([part.chosen for part in parts]),
            Tokens.cat([part.rejected for part in parts]),
            torch.cat([part.weight for part in parts]),
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

    @torch.no_grad()
    def reference_logps(self, reference) -> tuple[Tensor, Tensor]:
        """Reference log-probs of every pair, computed once and read at every step."""
        time = self.both.ids.shape[1]
        chunk = max(1, min(1024, rows_at_once(reference, time) // 2))

        def read(rows: Tensor) -> Tensor:
            piece = Pairs(
                self.chosen[rows].padded(time),
                self.rejected[rows].padded(time),
                self.weight[rows],
            )
            return torch.stack(piece._logps(reference), dim=1)

        both = read_in_parts(len(self), reference.members, chunk, read)
        return both[:, 0], both[:, 1]

    def batch(self, policy, rows: Tensor, ref: tuple[Tensor, Tensor]) -> PairLogps:
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

    def scores(self, model, rows: Tensor) -> PairScores:
        """What a reward-model loss reads, for some of the rows."""
        batch = self[rows]
        values = model.scores(batch.both_member_major(model.members))
        halves = values.unflatten(0, (model.members, 2, -1))
        return PairScores(halves[:, 0].flatten(), halves[:, 1].flatten())


def sample_pairs(
    world,
    logps: Float[Tensor, "prompt response"],
    n: int,
    annotator: Annotator,
    generator: torch.Generator,
    reward: Float[Tensor, "prompt response"] | None = None,
) -> Pairs:
    """Draw pairs from a law over responses and have them labelled.

    Args:
        world: an enumerable world.
        logps: law that both responses are drawn from, independently; pairs of twice
            the same response are drawn again.
        n: number of pairs, prompts in equal shares.
        annotator: who labels.
        generator: source of randomness.
        reward: what the annotator perceives; the world's gold reward if None.
    """
    reward = world.gold if reward is None else reward
    prompt = torch.arange(n) % world.n_prompts
    first = world.draw_for(logps, prompt, generator).response
    second = first.clone()
    # both are drawn again: a new partner alone would overrate the frequent responses
    while (same := first == second).any():
        first[same] = world.draw_for(logps, prompt[same], generator).response
        second[same] = world.draw_for(logps, prompt[same], generator).response
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
        logps: log μ, the law both responses are drawn from.
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
