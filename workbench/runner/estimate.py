"""How long a notebook and the series will still take, updated as they run.

What a notebook took last time here, or else half its budget, is a first guess. It is
stretched by what the finished notebooks of this call took against their guesses, and
gives way to the notebook's own pace as its cells are done.
"""

from collections.abc import Sequence

OVERDUE = 0.5  # of the time spent: what is left, at least, of a notebook that is late


def left(guess: float, spent: float, done: float) -> float:
    """Seconds that a running notebook will still take.

    Args:
        guess: seconds expected in all.
        spent: seconds so far.
        done: share of its cells that are done, 0 to 1.
    """
    pace = spent / done if done > 0 else guess
    total = (1 - done) * guess + done * pace
    return max(total - spent, OVERDUE * spent * (1 - done), 1.0)


class Stretch:
    """What the finished notebooks say about the guesses for the others."""

    def __init__(self) -> None:
        self._taken = self._guessed = 0.0

    def add(self, taken: float, guess: float) -> None:
        """A notebook has ended."""
        self._taken += taken
        self._guessed += guess

    @property
    def factor(self) -> float:
        """Seconds taken per second guessed, so far; 1 before anything has ended."""
        return self._taken / self._guessed if self._guessed > 0 else 1.0


def series(running: Sequence[float], waiting: Sequence[float], jobs: int) -> float:
    """Seconds left for everything.

    Args:
        running: seconds left of each notebook that runs.
        waiting: seconds expected of each that waits.
        jobs: how many run at a time.
    """
    every = [*running, *waiting]
    if not every:
        return 0.0
    return max(max(every), sum(every) / min(jobs, len(every)))
