"""Pairs that share their first steps and part at one."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core.fields import masks
from workbench.feedback.annotator import Annotator
from workbench.feedback.kind import Kind
from workbench.feedback.kinds.pairs import AroundPairs, PairLogps, Pairs


@dataclass(frozen=True)
class PairSteps(PairLogps):
    """A pair that shares its first steps, with the step at which it parts.

    ``chosen_step`` is True on the tokens of that one step of the chosen response.
    """

    chosen_step: Bool[Tensor, "batch time"] = masks("chosen_mask")
    rejected_step: Bool[Tensor, "batch time"] = masks("rejected_mask")

    @classmethod
    def example(cls, generator, batch=8, time=5, dtype=torch.float64):
        """Random valid values; the step is a token or two before the last one."""
        pair = PairLogps.example(generator, batch, time, dtype)
        steps = []
        for mask in (pair.chosen_mask, pair.rejected_mask):
            left = mask.flip(-1).cumsum(-1).flip(-1)
            inside = (left == 2) | (left == 3) | (left.amax(-1, keepdim=True) == 1)
            steps.append(mask & inside)
        return cls(**pair.by_name, chosen_step=steps[0], rejected_step=steps[1])


@dataclass(frozen=True)
class StepPairs(AroundPairs):
    """Pairs that share their first steps and part at one.

    Attributes:
        chosen_step: True on the tokens of that step of the chosen responses.
        rejected_step: the same of the rejected ones.
    """

    chosen_step: Bool[Tensor, "batch time"]
    rejected_step: Bool[Tensor, "batch time"]

    @staticmethod
    def of_first_difference(pairs: Pairs, size: int = 1) -> "StepPairs":
        """The step is the ``size`` tokens from where the two responses part.

        Args:
            pairs: pairs; each starts with the same prompt.
            size: tokens per step.
        """
        time = pairs.time
        chosen, rejected = pairs.chosen.padded(time), pairs.rejected.padded(time)
        same = (chosen.ids == rejected.ids) & (chosen.mask == rejected.mask)
        parted = (~same).cumsum(-1) > 0
        steps = [_first(side.mask & parted, size) for side in (chosen, rejected)]
        return StepPairs(pairs, *steps)

    @staticmethod
    def cat(parts: "list[StepPairs]") -> "StepPairs":
        """Data sets of one width below each other; for a stack, member-major."""
        return StepPairs(
            Pairs.cat([part.pairs for part in parts]),
            torch.cat([part.chosen_step for part in parts]),
            torch.cat([part.rejected_step for part in parts]),
        )

    def batch(self, policy, rows: Tensor, ref) -> PairSteps:
        """What a stepwise loss reads, for some of the rows."""
        pair = self.pairs.batch(policy, rows, ref)
        time = pair.policy_chosen.shape[1]
        steps = {}
        for name in ("chosen_step", "rejected_step"):
            step = vars(self)[name][rows]
            steps[name] = torch.nn.functional.pad(step, (0, time - step.shape[1]))
        return PairSteps(**pair.by_name, **steps)


def _first(mask: Tensor, size: int) -> Tensor:
    """The first ``size`` True columns of each row."""
    return mask & (mask.cumsum(-1) <= size)


def stopped(
    tree, node: Int[Tensor, " batch"], action: Int[Tensor, " batch"]
) -> Int[Tensor, " batch"]:
    """The response that takes an action at a prefix and ends with it.

    Args:
        tree: the prefixes and responses of a world.
        node: numbers of the prefixes.
        action: a word, or ``tree.n_words`` for the end.
    """
    start = torch.tensor([tree.offset(n) for n in range(tree.depth + 1)])
    length = tree.n_response_words[node]
    longer = start[length + 1] + (node - start[length]) * tree.n_words + action
    return torch.where(action == tree.n_words, node, longer)


def sample_steps(
    world,
    logps: Float[Tensor, "prompt response"],
    values: Float[Tensor, "prompt node action"],
    n: int,
    annotator: Annotator,
    generator: torch.Generator,
) -> StepPairs:
    """Draw prefixes and two next tokens of each, and have these labelled.

    A response is drawn and cut before one of its tokens, each as likely. Two different
    tokens are drawn to follow. The responses end with them: what stands behind a step
    is not read by a stepwise loss, and teaches to stop one that reads it.

    Args:
        world: an enumerable world.
        logps: distribution of the prefixes and of the tokens.
        values: of every token at every prefix, reward units: Q(s, a) = V(s·a). The
            label is Bradley–Terry in these.
        n: number of pairs, prompts in equal shares.
        annotator: who labels; lengths are not told.
        generator: source of randomness.
    """
    tree, prompt = world.tree, torch.arange(n) % world.n_prompts
    nodes, _ = tree.paths(world.draw_for(logps, prompt, generator).response)
    uniform = torch.rand(n, generator=generator, dtype=torch.float64)
    cut = (uniform * (nodes >= 0).sum(-1)).long()
    node = nodes.gather(1, cut[:, None])[:, 0]
    probs = tree.conditionals(logps.double())[prompt, node].exp()
    actions = torch.multinomial(probs, 2, generator=generator)
    one, two = values[prompt[:, None], node[:, None], actions].unbind(1)
    wins = annotator.prefers_first(one, two, generator)
    first, second = (stopped(tree, node, action) for action in actions.unbind(1))
    pairs = Pairs(
        world.tokens(prompt, torch.where(wins, first, second)),
        world.tokens(prompt, torch.where(wins, second, first)),
        torch.ones(n, dtype=torch.float64),
    )
    return StepPairs.of_first_difference(pairs)


kind = Kind(
    "tokens",
    PairSteps,
    {("pairs",): lambda labels: StepPairs.of_first_difference(labels.pairs)},
)
