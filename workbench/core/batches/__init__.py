"""What a loss reads: frozen batches of log-probabilities, with their shapes.

A loss sees no model and no optimiser. It sees one of these, and returns one value per
example. The reference is detached here, once, so no loss can forget it.
"""

from workbench.core.batches.contexts import ContextPairs
from workbench.core.batches.lists import ListLogps
from workbench.core.batches.pairs import PairLogps, PairScores, ResponseLogps
from workbench.core.batches.rollouts import GameRollouts, Rollouts, ValueRollouts
from workbench.core.batches.singles import ScoredLogps, ThumbLogps
from workbench.core.batches.tokens import Tokens
from workbench.core.batches.tokenwise import (
    PairLaws,
    PairSteps,
    PairTokenRewards,
    ScopedPairLogps,
)

__all__ = [
    "ContextPairs",
    "GameRollouts",
    "ListLogps",
    "PairLaws",
    "PairLogps",
    "PairScores",
    "PairSteps",
    "PairTokenRewards",
    "ResponseLogps",
    "Rollouts",
    "ScopedPairLogps",
    "ScoredLogps",
    "ThumbLogps",
    "Tokens",
    "ValueRollouts",
]
