"""The words of ``stories``: what each is, feels like, and belongs to.

258 words that may be written, and six genres that stand in prompts alone.
"""

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.worlds.vocab import Vocab

GENRES = ("fable", "mystery", "romance", "comedy", "tragedy", "adventure")
NAMES = tuple(
    "anna ben clara david emma felix grace henry "
    "iris jonas kira leo mara noah olga paul".split()
)

# Verbs by the stage of the plot they tell: pleasant, unpleasant, neither.
VERBS = (
    (
        "met greeted found praised welcomed",
        "missed ignored doubted mocked envied",
        "saw visited noticed passed entered",
    ),
    (
        "warned helped guarded trusted shared",
        "stole broke attacked betrayed cursed",
        "followed searched chased watched crossed",
    ),
    (
        "defended freed rescued healed conquered",
        "wounded trapped burned destroyed poisoned",
        "faced reached opened climbed seized",
    ),
    (
        "married forgave repaired celebrated blessed",
        "buried abandoned mourned banished forgot",
        "returned kept remembered carried sold",
    ),
)
ADJECTIVES = (
    "bright gentle golden lovely clever warm brave sweet kind merry",
    "dark cruel rotten ugly foolish cold grim bitter wicked dreary",
    "old small tall quiet round red heavy new plain distant",
)
MOODS = (
    "happy glad proud calm hopeful cheerful grateful safe loved free joyful content",
    "sad angry afraid lonely hurt jealous tired guilty lost ashamed ill bored",
)
NOUNS = (
    "fox crow lamb grape wolf goose acorn frog hen mouse turtle wheat",
    "clue letter knife key mask shadow diary lamp witness poison ledger alibi",
    "rose ring poem kiss dance violin necklace portrait ribbon perfume veil bouquet",
    "hat pie goat wig trumpet ladder banana parrot umbrella sausage bucket moustache",
    "crown dagger throne grave oath skull prophecy crypt tear rope wine shroud",
    "map sword treasure canoe compass dragon torch horse anchor jewel raft lantern",
)
PLACES = (
    "meadow barn pond orchard hill burrow",
    "library cellar alley attic station archive",
    "garden balcony ballroom terrace chapel fountain",
    "kitchen market circus bakery tavern theatre",
    "castle cemetery court dungeon tower battlefield",
    "jungle island harbour cave desert mountain",
)
PLAIN = {
    "prep": "in near behind beyond",
    "det": "the a one that",
    "join": "then but so and later soon",
    "be": "was felt seemed",
    "not": "not never",
    "stop": ".",
}
CLASSES = (
    "stop", "join", "name", "verb", "det", "adj", "noun",
    "prep", "place", "be", "not", "mood", "none",
)  # fmt: skip

# What may follow what; a story starts as if after nothing and ends after a stop.
FOLLOWS = {
    "join": "name",
    "name": "verb be",
    "verb": "det prep",
    "det": "adj noun place",
    "adj": "noun",
    "noun": "prep stop",
    "prep": "det",
    "place": "stop",
    "be": "not mood",
    "not": "mood",
    "mood": "stop",
    "stop": "name join",
}

VERB_WORTH, MOOD_WORTH, ADJECTIVE_WORTH = 1.0, 1.0, 0.5  # reward units before fading


@dataclass(frozen=True)
class Lexicon:
    """Every token of the language with its properties, indexed by token id.

    Attributes:
        vocab: padding, end, the genres, then the words.
        kind: number of the word's class in ``CLASSES``.
        worth: how pleasant the word is, reward units.
        stage: stage of the plot of a verb, 1 to 4; 0 for other words.
        genre: genre a noun or place belongs to; −1 for other words.
        follows: True where a class may follow a class.
    """

    vocab: Vocab
    kind: Int[Tensor, "token"]
    worth: Float[Tensor, "token"]
    stage: Int[Tensor, "token"]
    genre: Int[Tensor, "token"]
    follows: Tensor

    def ids(self, kind: str, *, sign: int | None = None, **only: int) -> Tensor:
        """Ids of the words of a class, perhaps of one sign, stage or genre."""
        keep = self.kind == CLASSES.index(kind)
        if sign is not None:
            keep &= self.worth.sign() == sign
        for name, value in only.items():
            keep &= {"stage": self.stage, "genre": self.genre}[name] == value
        return keep.nonzero()[:, 0]


def _entries() -> list[tuple[str, str, float, int, int]]:
    """(word, class, worth, stage, genre) of every word."""
    rows = [(name, "name", 0.0, 0, -1) for name in NAMES]
    signs = (1.0, -1.0, 0.0)
    for stage, groups in enumerate(VERBS, 1):
        for sign, group in zip(signs, groups, strict=True):
            rows += [(w, "verb", sign * VERB_WORTH, stage, -1) for w in group.split()]
    for sign, group in zip(signs, ADJECTIVES, strict=True):
        rows += [(w, "adj", sign * ADJECTIVE_WORTH, 0, -1) for w in group.split()]
    for sign, group in zip(signs, MOODS, strict=False):
        rows += [(w, "mood", sign * MOOD_WORTH, 0, -1) for w in group.split()]
    for kind, groups in (("noun", NOUNS), ("place", PLACES)):
        for genre, group in enumerate(groups):
            rows += [(w, kind, 0.0, 0, genre) for w in group.split()]
    for kind, group in PLAIN.items():
        rows += [(w, kind, 0.0, 0, -1) for w in group.split()]
    return rows


@cache
def lexicon() -> Lexicon:
    """The language; built once."""
    lead = ["<pad>", "<eos>", *GENRES]
    rows = [(word, "none", 0.0, 0, -1) for word in lead] + _entries()
    words, kinds, worth, stage, genre = zip(*rows, strict=True)
    outside = (0, *range(2, len(lead)))
    follows = torch.zeros(len(CLASSES), len(CLASSES), dtype=torch.bool)
    for before, after in FOLLOWS.items():
        for name in after.split():
            follows[CLASSES.index(before), CLASSES.index(name)] = True
    return Lexicon(
        vocab=Vocab(tuple(words), pad=0, eos=1, forbidden=outside),
        kind=torch.tensor([CLASSES.index(kind) for kind in kinds]),
        worth=torch.tensor(worth, dtype=torch.float64),
        stage=torch.tensor(stage),
        genre=torch.tensor(genre),
        follows=follows,
    )
