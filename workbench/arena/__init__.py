"""Every method on the same labels and the same budget, held against the exact world."""

from workbench.arena.contest import Budget, compare
from workbench.arena.entrants import Entrant, entrants
from workbench.arena.grounds import Ground, of_reviews, of_stories
from workbench.arena.guests import from_file
from workbench.arena.picture import picture, ranking, sorter
from workbench.arena.standings import markdown, standings
from workbench.arena.watched import BadMethod

__all__ = [
    "BadMethod",
    "Budget",
    "Entrant",
    "Ground",
    "compare",
    "entrants",
    "from_file",
    "markdown",
    "of_reviews",
    "of_stories",
    "picture",
    "ranking",
    "sorter",
    "standings",
]
