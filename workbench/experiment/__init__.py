"""Experiments: a problem, a fit of one method on it, and an evaluation.

``workbench train`` is an experiment with one method and a report, ``workbench compare``
one with many and a table; both go through the same parts.
"""

from workbench.experiment.arena_table import sorter
from workbench.experiment.candidates import Candidate, candidate, candidates
from workbench.experiment.evaluation import Evaluation, RewardEvaluation
from workbench.experiment.fit import compare, fit
from workbench.experiment.guests import from_file
from workbench.experiment.leaderboard import leaderboard, markdown
from workbench.experiment.leaderboard_figures import picture, ranking
from workbench.experiment.problem import Problem, of_reviews, of_stories
from workbench.experiment.watched import BadMethod
from workbench.loops.schedule import Schedule

__all__ = [
    "BadMethod",
    "Candidate",
    "Evaluation",
    "Problem",
    "RewardEvaluation",
    "Schedule",
    "candidate",
    "candidates",
    "compare",
    "fit",
    "from_file",
    "leaderboard",
    "markdown",
    "of_reviews",
    "of_stories",
    "picture",
    "ranking",
    "sorter",
]
