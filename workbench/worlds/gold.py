"""The gold reward of a review: sentiment composed word by word, and grammar.

Everything is decided here and known to nobody else: annotators see rewards through
noise, reward models through labels, policies through either.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

WORDS = ("good", "bad", "fun", "dull", "not", "very", "and", "but")
PROMPTS = ("film", "plot", "cast", "music")

# What a word is worth (reward units), by prompt: a cast may well be dull, a plot not.
POLARITY = {
    "film": (1.0, -1.0, 0.8, -0.8),
    "plot": (1.0, -1.0, 0.3, -1.2),
    "cast": (1.2, -1.2, 0.5, -0.4),
    "music": (0.7, -0.9, 1.2, -1.0),
}
NOT, VERY, AND, BUT = (WORDS.index(word) for word in ("not", "very", "and", "but"))
NEGATION = -0.6  # "not good" is milder than "bad"
INTENSITY = 1.5  # "very good"
FADE = 0.4  # each repetition of a judgement counts this much less
TURN = 1.3  # what follows "but" weighs more
PENALTY = 0.8  # a grammar error
SILENCE = 1.0  # an empty review
DIGITS = 9  # more than a reward has; in float64 1 + 0.4 − 0.8 is 0.5999999999999999


def _table(prompt: str) -> Float[Tensor, " word"]:
    worth = torch.zeros(len(WORDS), dtype=torch.float64)
    worth[:4] = torch.tensor(POLARITY[prompt], dtype=torch.float64)
    return worth


def sentiment(
    words: Int[Tensor, "review length"], prompt: str
) -> Float[Tensor, " review"]:
    """Sum of the judgements of each review.

    A judgement is the word's worth for the prompt, times NEGATION for a "not" and
    INTENSITY for a "very" since the last judgement or conjunction (a modifier said
    twice in a row counts once), times TURN after "but", times FADE for every earlier
    use of the same word.

    Args:
        words: reviews of one length, as word numbers.
        prompt: what the review is about.

    Returns:
        reward units.
    """
    worth = _table(prompt)
    n = len(words)
    total = torch.zeros(n, dtype=torch.float64)
    modifier = torch.ones(n, dtype=torch.float64)
    turn = torch.ones(n, dtype=torch.float64)
    seen = torch.zeros(n, len(WORDS), dtype=torch.float64)
    before = torch.full((n,), -1)
    for word in words.unbind(1):
        judges = word < 4
        fade = FADE ** seen.gather(1, word[:, None])[:, 0]
        total += torch.where(judges, worth[word] * modifier * turn * fade, 0.0)
        seen.scatter_add_(1, word[:, None], torch.ones_like(total)[:, None])
        factor = torch.full_like(modifier, INTENSITY)
        factor = torch.where(word == NOT, NEGATION, factor)  # in float64
        factor = torch.where(word == before, 1.0, factor)
        modifier = torch.where((word == NOT) | (word == VERY), modifier * factor, 1.0)
        turn = torch.where(word == BUT, TURN, turn)
        before = word
    return total.round(decimals=DIGITS)


def grammar_errors(
    words: Int[Tensor, "review length"],
) -> Float[Tensor, " review"]:
    """Errors of each review.

    One for: a judgement or modifier right after a judgement (a conjunction is missing),
    a modifier not followed by a judgement or modifier, the same modifier twice, a
    conjunction that does not stand between a judgement and a judgement or modifier.
    """
    n, length = words.shape
    errors = torch.zeros(n, dtype=torch.float64)
    edge = torch.full((n,), -1)
    for t in range(length):
        word = words[:, t]
        before = words[:, t - 1] if t else edge
        after = words[:, t + 1] if t + 1 < length else edge
        judges = (word >= 0) & (word < 4)
        modifies = (word == NOT) | (word == VERY)
        joins = (word == AND) | (word == BUT)
        judged_before = (before >= 0) & (before < 4)
        hangs = modifies & ((after == -1) | (after == AND) | (after == BUT))
        doubled = modifies & (before == word)
        adrift = joins & (~judged_before | (after == -1) | (after >= AND))
        missing = (judges | modifies) & judged_before
        for wrong in (missing, hangs, doubled, adrift):
            errors += wrong
    return errors


def attributes(
    words: Int[Tensor, "review length"], prompt: str
) -> dict[str, Float[Tensor, " review"]]:
    """What annotators may care about, in reward units.

    ``sentiment`` and ``fluency`` add up to gold. ``brevity`` is minus a fifth per word,
    ``colour`` counts distinct words beyond the first, a fifth each.
    """
    n, length = words.shape
    silent = SILENCE if length == 0 else 0.0
    distinct = torch.zeros(n, len(WORDS), dtype=torch.float64)
    distinct = distinct.scatter(1, words, 1.0).sum(1)
    return {
        "sentiment": sentiment(words, prompt),
        "fluency": -PENALTY * grammar_errors(words) - silent,
        "brevity": torch.full((n,), -0.2 * length, dtype=torch.float64),
        "colour": 0.2 * (distinct - 1).clamp(min=0),
    }
