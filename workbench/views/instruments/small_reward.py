"""A reward model small enough to be fitted again while a slider is dragged.

Its score of a review is a sum of weights: one for each word, one for each two words
that stand side by side, and one for each word in reviews of one prompt.

All draws are common: with fewer pairs the model sees the first of the same pairs, and
another flip rate meets the same responses and the same coins.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from workbench.core.seeds import generator
from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs, sample_pairs

MOST = 2048  # pairs: a fit stays within a few hundredths of a second
BATCH, RATE = 32, 0.3
Table = Float[Tensor, "prompt response"]


def word_features(world) -> Float[Tensor, "prompt response feature"]:
    """What the score of a review is a weighted sum of.

    Args:
        world: an enumerable world of W words and X prompts.

    Returns:
        W counts of words, W² counts of neighbours, and X · W counts of words that are
        zero but for the response's own prompt.
    """
    size, prompts = len(world.words), world.n_prompts
    _, actions = world.tree.paths(torch.arange(world.n_responses))
    written = (actions >= 0) & (actions < size)
    # what is no word has a number of its own, whose column is then left out
    words = one_hot(torch.where(written, actions, size), size + 1)[..., :-1].double()
    counts = words.sum(1)
    neighbours = torch.einsum("rti,rtj->rij", words[:, :-1], words[:, 1:]).flatten(1)
    own = torch.einsum("xz,rw->xrzw", torch.eye(prompts).double(), counts).flatten(2)
    shared = torch.cat([counts, neighbours], -1).expand(prompts, -1, -1)
    return torch.cat([shared, own], -1)


def labelled_pairs(world, ref_logps: Table, flip: float, seed: int) -> Pairs:
    """``MOST`` pairs; ``[:n]`` are the first n of them.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref, which writes both responses of a pair.
        flip: share of the labels that are recorded the wrong way round.
        seed: of the responses and of the coins, which do not depend on ``flip``.
    """
    source = generator(seed, "pairs")
    return sample_pairs(world, ref_logps, MOST, Annotator(flip=flip), source)


def fitted_scores(
    features: Float[Tensor, "prompt response feature"],
    pairs: Pairs,
    epochs: Sequence[int],
) -> Float[Tensor, "epoch prompt response"]:
    """Scores of all responses after some epochs of the Bradley–Terry loss.

    Every step goes down the gradient of the mean of −log σ(lead) over 32 pairs, in
    the order of the pairs; the weights begin at 0.

    Args:
        features: ``word_features`` of the world.
        pairs: the comparisons.
        epochs: rising; after so many passes through the pairs a table is taken.

    Returns:
        reward units; of each prompt's constant nothing can be learned.
    """
    sides = (pairs.chosen, pairs.rejected)
    first, second = (features[side.prompt, side.response] for side in sides)
    lead = (first - second).numpy()  # numpy: a step of so few numbers is all overhead
    parts = [lead[at : at + BATCH] for at in range(0, len(lead), BATCH)]
    weights, taken, done = np.zeros(lead.shape[1]), [], 0
    for stop in epochs:
        for part in parts * (stop - done):
            push = 1 / (1 + np.exp(part @ weights))
            weights += RATE / len(part) * (push @ part)
        done = stop
        taken.append(features @ torch.from_numpy(weights.copy()))
    return torch.stack(taken)
