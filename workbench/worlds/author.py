"""The hidden author whose reviews are the corpus: fluent on most days, not on all.

A first-order Markov chain, so its distribution over all reviews is exact. It prefers
plain judgements, often ends after one, sometimes forgets a conjunction, and is kinder
to some prompts than to others. No learner sees these tables.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.worlds.gold import PROMPTS, WORDS
from workbench.worlds.tree import PrefixTree

# Next word after …: weights for good bad fun dull not very and but, and the end.
START = (5.0, 4.0, 3.5, 3.5, 2.0, 3.0, 0.2, 0.2, 0.3)
AFTER_JUDGEMENT = (0.6, 0.6, 0.5, 0.5, 0.4, 0.4, 4.0, 3.0, 5.0)
AFTER_NOT = (5.0, 3.0, 3.0, 3.0, 0.3, 3.0, 0.3, 0.3, 0.5)
AFTER_VERY = (5.0, 4.0, 4.0, 4.0, 0.3, 0.8, 0.3, 0.3, 0.5)
AFTER_JOIN = (4.0, 4.0, 4.0, 4.0, 2.5, 3.0, 0.2, 0.2, 0.5)
# How much kinder than average the author is to each prompt (log-odds of good and fun).
KINDNESS = {"film": -0.1, "plot": -0.4, "cast": 0.2, "music": 0.0}


def author_logps(tree: PrefixTree, prompt: str) -> Float[Tensor, " response"]:
    """Log-probability of every review under the hidden author, in nats."""
    after = [START, *[AFTER_JUDGEMENT] * 4, AFTER_NOT, AFTER_VERY, *[AFTER_JOIN] * 2]
    logits = torch.tensor(after, dtype=torch.float64).log()
    logits[:, [WORDS.index("good"), WORDS.index("fun")]] += KINDNESS[prompt]
    table = logits.log_softmax(-1)
    rows = [table[:1]]
    for length in range(1, tree.depth):
        rows.append(table[1 + tree.words(length)[:, -1]])
    return tree.response_logps(torch.cat(rows))


def all_author_logps(tree: PrefixTree) -> Float[Tensor, "prompt response"]:
    """The author's distribution for every prompt."""
    return torch.stack([author_logps(tree, prompt) for prompt in PROMPTS])
