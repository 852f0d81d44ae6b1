"""Pairs as a reader sees them: the texts, and how likely each label was."""

from workbench.feedback.annotator import Annotator
from workbench.feedback.kinds.pairs import Pairs


def as_text(pairs: Pairs, world, annotator: Annotator | None = None):
    """Pairs in words, one row per pair.

    Args:
        pairs: the pairs, such as the first three of a data set.
        world: the enumerable world that they come from.
        annotator: who labelled them; adds the probability of the label that was given.

    Returns:
        DataFrame[prompt, chosen, rejected(, p(this label))].
    """
    import pandas as pd

    prompt = pairs.chosen.prompt
    sides = {"chosen": pairs.chosen.response, "rejected": pairs.rejected.response}
    table = {"prompt": [world.prompts[x] for x in prompt.tolist()]}
    table |= {k: [world.text(y) for y in side.tolist()] for k, side in sides.items()}
    if annotator is not None:
        scores = (world.gold[prompt, side] for side in sides.values())
        words = (world.n_words[side] for side in sides.values())
        chance = annotator.probability(*scores, *words)
        table["p(this label)"] = chance.tolist()
    return pd.DataFrame(table)
