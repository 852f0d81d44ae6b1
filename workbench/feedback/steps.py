"""Labelled steps: two next tokens of one prefix, compared by a value of each."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.feedback.annotator import Annotator
from workbench.feedback.pairs import Pairs
from workbench.feedback.tokenwise import StepPairs


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
        logps: law of the prefixes and of the tokens.
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
    law = tree.conditionals(logps.double())[prompt, node].exp()
    actions = torch.multinomial(law, 2, generator=generator)
    one, two = values[prompt[:, None], node[:, None], actions].unbind(1)
    wins = annotator.prefers_first(one, two, generator)
    first, second = (stopped(tree, node, action) for action in actions.unbind(1))
    pairs = Pairs(
        world.tokens(prompt, torch.where(wins, first, second)),
        world.tokens(prompt, torch.where(wins, second, first)),
        torch.ones(n, dtype=torch.float64),
    )
    return StepPairs.of_first_difference(pairs)
