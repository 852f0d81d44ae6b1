"""The gold reward of a story: its arc, its setting, its plot, grammar and length.

Every term is a plain function of the tokens, so gold is known by construction:

    sentiment  Σ_k a_k·tanh(S_k) over the thirds k of the story. S_k is the sum of the
               worth of its words, a mood right after a "not" times NEGATION, every
               earlier use of the same word times FADE; a is the arc of the genre.
    coherence  ½·min(mentions of the lead, 3)/3 + ½·tanh((fitting − foreign)/3), where
               nouns and places of the genre fit, others are foreign, and repetition
               fades them in the same way.
    plot       (verbs that bring the plot one stage further)/4 − BACK·(verbs of a stage
               before the highest one reached).
    fluency    −ERROR·min(errors, 10); an error is a class of word that may not follow
               the one before it, or an end that is not after a full stop.
    length     −(missing words)/min_words for stories shorter than ``min_words``.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.worlds.story_words import CLASSES, GENRES, Lexicon

# What the first, second and last third of a genre should feel like.
ARCS = {
    "fable": (0.0, -0.5, 1.5),
    "mystery": (-0.5, -0.5, 1.0),
    "romance": (0.5, -0.5, 1.0),
    "comedy": (0.5, 0.5, 1.0),
    "tragedy": (0.5, -0.5, -1.0),
    "adventure": (0.5, -1.0, 0.5),
}
NEGATION = -0.6  # "not happy" is milder than "sad"
FADE = 0.5  # each repetition counts this much less
BACK = 0.1  # telling an earlier stage again
ERROR = 0.3  # a grammar error; no more than ten are counted
MOST_ERRORS = 10
DIGITS = 9  # the order of a sum is no reason to prefer a story

Words = Int[Tensor, "batch time"]
Real = Bool[Tensor, "batch time"]
Term = Float[Tensor, "batch"]


def terms(
    lexicon: Lexicon, genre: Tensor, lead: Tensor, words: Words, real: Real, least: int
) -> dict[str, Term]:
    """Every term of gold, in reward units; gold is their sum.

    Args:
        lexicon: the language.
        genre: number of each prompt's genre.
        lead: token id of each prompt's character.
        words: the stories, end of sequence and padding anywhere ``real`` is False.
        real: True on words, which stand side by side from the first column.
        least: fewest words a story should have.
    """
    fade = FADE ** _earlier_uses(words, real)
    return {
        "sentiment": sentiment(lexicon, genre, words, real, fade),
        "coherence": coherence(lexicon, genre, lead, words, real, fade),
        "plot": plot(lexicon, words, real),
        "fluency": -ERROR * grammar_errors(lexicon, words, real).clamp(max=MOST_ERRORS),
        "length": -(least - real.sum(1)).clamp(min=0).double() / least,
    }


def _earlier_uses(words: Words, real: Real) -> Float[Tensor, "batch time"]:
    same = (words[:, :, None] == words[:, None, :]) & real[:, None, :]
    return same.tril(diagonal=-1).sum(-1).double()


def sentiment(
    lexicon: Lexicon, genre: Tensor, words: Words, real: Real, fade: Tensor
) -> Term:
    """How well the feeling of the three thirds fits the genre's arc."""
    negated = torch.zeros_like(real)
    negated[:, 1:] = _is(lexicon, words, "not")[:, :-1] & real[:, :-1]
    negated &= _is(lexicon, words, "mood")
    factor = torch.where(negated, NEGATION, torch.ones_like(fade))  # in float64
    worth = lexicon.worth[words] * factor * fade
    length = real.sum(1, keepdim=True).clamp(min=1)
    third = torch.arange(words.shape[1]) * 3 // length
    arcs = torch.tensor([ARCS[name] for name in GENRES], dtype=torch.float64)[genre]
    sums = [(worth * (real & (third == k))).sum(1) for k in range(3)]
    return (arcs * torch.stack(sums, dim=1).tanh()).sum(1)


def coherence(
    lexicon: Lexicon,
    genre: Tensor,
    lead: Tensor,
    words: Words,
    real: Real,
    fade: Tensor,
) -> Term:
    """Whether the story is about the lead and set in the genre."""
    mentions = ((words == lead[:, None]) & real).sum(1).clamp(max=3)
    belongs = lexicon.genre[words]
    fits = torch.where(belongs == genre[:, None], 1.0, -1.0).double() * (belongs >= 0)
    setting = (fits * fade * real).sum(1)
    return mentions.double() / 6 + (setting / 3).tanh() / 2


def plot(lexicon: Lexicon, words: Words, real: Real) -> Term:
    """Whether the stages of the verbs follow each other: four steps make 1."""
    stage = lexicon.stage[words] * real
    highest = stage.cummax(1).values
    before = torch.nn.functional.pad(highest[:, :-1], (1, 0))
    steps = ((stage == before + 1) & (stage > 0)).sum(1)
    back = ((stage > 0) & (stage < before)).sum(1)
    return steps.double() / 4 - BACK * back.double()


def grammar_errors(lexicon: Lexicon, words: Words, real: Real) -> Term:
    """Words of a class that may not stand there, and a missing full stop at the end."""
    stop, join = CLASSES.index("stop"), CLASSES.index("join")
    kind = torch.where(real, lexicon.kind[words], stop)
    before = torch.nn.functional.pad(kind[:, :-1], (1, 0), value=stop)
    wrong = ~lexicon.follows[before, kind]
    wrong[:, :1] |= kind[:, :1] == join  # nothing to join to yet
    length = real.sum(1, keepdim=True)
    last = kind.gather(1, (length - 1).clamp(min=0))[:, 0]
    unfinished = (last != stop) | (length[:, 0] == 0)
    return (wrong & real).sum(1).double() + unfinished


def _is(lexicon: Lexicon, words: Words, kind: str) -> Bool[Tensor, "batch time"]:
    return lexicon.kind[words] == CLASSES.index(kind)
