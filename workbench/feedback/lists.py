"""Lists of scored responses to the same prompt."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core.batches import ListLogps, Tokens
from workbench.feedback.responses import Responses


@dataclass(frozen=True)
class Lists:
    """Several responses to each prompt, with a reward each.

    Attributes:
        tokens: the responses, those of a list side by side.
        scores: reward of each response, reward units.
        proposal: log-prob of each under the law it was drawn from, nats a sequence.
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
        """Responses a list."""
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
        held = {n: torch.cat([getattr(p, n) for p in parts]) for n in names}
        return Lists(tokens=Tokens.cat([part.tokens for part in parts]), **held)

    def reference_logps(self, reference) -> Tensor:
        """Reference log-probs of every response, [list · group, time]."""
        return Responses.of(self.tokens).reference_logps(reference)

    def batch(self, policy, rows: Tensor, ref: Tensor) -> ListLogps:
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
    """Draw lists from a law over responses and have them scored.

    Args:
        world: an enumerable world.
        logps: law that all responses are drawn from, independently.
        n: lists, prompts in equal shares.
        group: responses a list; the same one may come twice.
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
