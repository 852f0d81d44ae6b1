"""What a policy answers: sampled texts with their gold reward, and the drift of both.

The same samples give the gold reward and the KL, so that the two belong together.
"""

from collections.abc import Callable, Sequence

import torch

from workbench.core.memory import rows_at_once
from workbench.core.seeds import generator
from workbench.core.statistics import cluster_interval
from workbench.measure import drift
from workbench.models import prompts


class AnswerTracker:
    """Samples answers to the same prompts at every measure, for a loop's ``measures``.

    Args:
        reference: π_ref.
        asked: prompts as tokens.
        coder: a tokenizer, to read what was written.
        gold: from the number of a prompt and a text to its gold reward.
        each: answers to each prompt.
        max_new: longest answer, tokens; a longer one is cut.

    Attributes:
        texts: the answers of every measure so far.
    """

    def __init__(
        self,
        reference,
        asked: Sequence[list[int]],
        coder,
        gold: Callable[[int, str], float],
        *,
        each: int = 1,
        max_new: int = 32,
    ):
        self.reference, self.coder, self.gold = reference, coder, gold
        self.number = [i for i in range(len(asked)) for _ in range(each)]
        self.asked = [asked[i] for i in self.number]
        self.max_new = max_new
        self.texts: list[list[str]] = []

    def written(self, policy):
        """The answers of a policy: tokens, and texts without special tokens."""
        tokens = prompts.respond(
            policy, self.asked, self.max_new, generator(0, "answers")
        )
        return tokens, prompts.written(self.coder, tokens)

    def __call__(self, policy):
        """How far the policy has moved, and what its answers are worth.

        Returns:
            DataFrame[seed, kl, kl_low, kl_high, gold, gold_low, gold_high, length,
            cut], one row: KL(π‖π_ref) in nats per answer, gold in reward units, both
            with 95 % intervals clustered by prompt; length in tokens; cut is the share
            of answers that did not end by themselves.
        """
        import pandas as pd

        tokens, texts = self.written(policy)
        self.texts.append(texts)
        size = max(1, rows_at_once(policy, tokens.ids.shape[1]))
        with torch.no_grad():
            parts = [
                drift.prefix_kl(policy, self.reference, tokens[rows])
                for rows in torch.arange(len(tokens)).split(size)
            ]
        moved = torch.cat(parts).cpu()
        gold = [self.gold(i, text) for i, text in zip(self.number, texts, strict=True)]
        found = {"kl": moved, "gold": torch.tensor(gold)}
        row: dict[str, float] = {"seed": 0}
        for name, value in found.items():
            mean, _, low, high = cluster_interval(value, torch.tensor(self.number))
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        row["length"] = tokens.lengths.double().mean().item()
        ended = prompts.has_ended(policy, tokens)
        row["cut"] = 1 - ended.double().mean().item()
        return pd.DataFrame([row])
