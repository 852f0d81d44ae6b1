"""The hidden author of ``stories``: a hidden Markov model that has its weak days.

Sentence by sentence it holds a mood and a stage of the plot. The mood follows the
genre's arc now and then, the stage moves on about every second sentence, the subject
wanders, the setting slips, favourite words come back, and now and then a word is lost
or wrong. No learner sees any of it.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.worlds.story_gold import ARCS
from workbench.worlds.story_words import GENRES, Lexicon

ON_ARC = 0.35  # the mood is the arc's; otherwise any of the three
STEP, BACK = 0.5, 0.1  # the stage moves on, or falls back by one
LEAD = 0.5  # the subject is the prompt's character
SETTING = 0.5  # a noun or place is the genre's
LOST, WRONG = 0.015, 0.015  # a word is dropped, or is any word
FAVOURITE = 0.7  # words of a class are used as 1/rank**FAVOURITE
KINDS = (0.45, 0.2, 0.35)  # sentences: deed, journey, mood

_SLOTS = (
    "join", "name", "be", "not", "mood", "verb", "det", "adj", "noun",
    "prep", "det2", "place", "stop",
)  # fmt: skip


class Author:
    """Writes all stories at once, slot by slot.

    Args:
        lexicon: the language.
        longest: most words a story may have.
        least: a story is at least about this long.
    """

    def __init__(self, lexicon: Lexicon, least: int, longest: int):
        self.lexicon, self.least, self.longest = lexicon, least, longest

    def write(
        self,
        genre: Int[Tensor, "batch"],
        lead: Int[Tensor, "batch"],
        generator: torch.Generator,
    ) -> tuple[Int[Tensor, "batch time"], Int[Tensor, "batch"]]:
        """Stories for prompts.

        Returns:
            words from the first column on (0 behind them), and how many there are.
        """
        draw = _Draw(len(genre), generator)
        target = self.least + draw.uniform() * (self.longest - self.least)
        length = torch.zeros(len(genre))
        stage = torch.ones(len(genre), dtype=torch.long)
        sentences = []
        while bool((length < target).any()) and len(sentences) < self.longest:
            third = (length / target.clamp(min=1) * 3).clamp(max=2).long()
            mood = self._mood(genre, third, draw)
            sentence = self._sentence(genre, lead, mood, stage, draw)
            if not sentences:
                sentence[:, 0] = -1  # the first sentence joins to nothing
            size = (sentence >= 0).sum(1)
            fits = (length < target) & (length + size <= self.longest)
            target = torch.where(fits, target, 0.0)  # a story that stopped stays so
            sentences.append(torch.where(fits[:, None], sentence, -1))
            length = length + torch.where(fits, size, 0)
            u = draw.uniform()
            move = torch.where(u < STEP, 1, torch.where(u < STEP + BACK, -1, 0))
            stage = (stage + move).clamp(1, 4)
        return self._slips(torch.cat(sentences, dim=1), draw)

    def _mood(self, genre: Tensor, third: Tensor, draw: "_Draw") -> Tensor:
        arcs = torch.tensor([ARCS[name] for name in GENRES]).sign().long()
        wanted = arcs[genre, third]
        other = (draw.uniform() * 3).long() - 1
        return torch.where(draw.uniform() < ON_ARC, wanted, other)

    def _sentence(self, genre, lead, mood, stage, draw: "_Draw") -> Tensor:
        edges = torch.tensor(KINDS).cumsum(0)[:-1].double()
        kind = torch.searchsorted(edges, draw.uniform())
        deed, journey, feeling = kind == 0, kind == 1, kind == 2
        u = draw.uniform()
        setting = torch.where(draw.uniform() < SETTING, genre, (u * 6).long())
        placed = journey | (deed & (draw.uniform() < 0.3))
        negated = feeling & (draw.uniform() < 0.15)
        feels = torch.where(mood == 0, torch.where(draw.uniform() < 0.5, 1, -1), mood)
        feels = torch.where(negated, -feels, feels)
        pick = self._pick
        name = torch.where(draw.uniform() < LEAD, lead, pick("name", None, draw))
        slots = {
            "join": (draw.uniform() < 0.35, pick("join", None, draw)),
            "name": (torch.ones_like(deed), name),
            "be": (feeling, pick("be", None, draw)),
            "not": (negated, pick("not", None, draw)),
            "mood": (feeling, pick("mood", {"sign": feels}, draw)),
            "verb": (
                deed | journey,
                pick("verb", {"sign": mood, "stage": stage}, draw),
            ),
            "det": (deed, pick("det", None, draw)),
            "adj": (deed & (draw.uniform() < 0.4), pick("adj", {"sign": mood}, draw)),
            "noun": (deed, pick("noun", {"genre": setting}, draw)),
            "prep": (placed, pick("prep", None, draw)),
            "det2": (placed, pick("det", None, draw)),
            "place": (placed, pick("place", {"genre": setting}, draw)),
            "stop": (torch.ones_like(deed), pick("stop", None, draw)),
        }
        filled = [torch.where(*slots[name], -1) for name in _SLOTS]
        return torch.stack(filled, dim=1)

    def _pick(self, kind: str, only: dict[str, Tensor] | None, draw: "_Draw") -> Tensor:
        """A word of the class for every story, favourites first."""
        u = draw.uniform()
        if not only:
            return self._favourite(kind, {}, u)
        chosen = torch.zeros(len(u), dtype=torch.long)
        keys = torch.stack(list(only.values()), dim=1)
        for case in keys.unique(dim=0):
            rows = (keys == case).all(1)
            wanted = dict(zip(only, case.tolist(), strict=True))
            chosen[rows] = self._favourite(kind, wanted, u[rows])
        return chosen

    def _favourite(self, kind: str, wanted: dict[str, int], u: Tensor) -> Tensor:
        ids = self.lexicon.ids(kind, **wanted)
        weight = torch.arange(1, len(ids) + 1, dtype=torch.float64) ** -FAVOURITE
        edges = weight.cumsum(0) / weight.sum()
        return ids[torch.searchsorted(edges, u).clamp(max=len(ids) - 1)]

    def _slips(self, story: Tensor, draw: "_Draw") -> tuple[Tensor, Tensor]:
        """Lose some words, get some wrong, and close the gaps."""
        wide = story.shape[1]
        first = 2 + len(GENRES)
        size = len(self.lexicon.vocab.tokens) - first
        any_word = first + (draw.uniform(wide) * size).long()
        story = torch.where(
            (story >= 0) & (draw.uniform(wide) < WRONG), any_word, story
        )
        story = torch.where(draw.uniform(wide) < LOST, -1, story)
        order = (story < 0).to(torch.int8).argsort(dim=1, stable=True)
        story = story.gather(1, order)[:, : self.longest]
        return story.clamp(min=0), (story >= 0).sum(1)


class _Draw:
    """Uniform float64 numbers for all stories at once."""

    def __init__(self, n: int, generator: torch.Generator):
        self.n, self.generator = n, generator

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self.n, *shape, generator=self.generator, dtype=torch.float64)
