"""How fast this machine is now, against the one that the time budgets were written on.

A budget is in seconds of that reference machine. A slow or busy machine is not wrong,
only slow: budgets, expected times and the patience with a silent kernel are multiplied
by what is measured here.
"""

import time
from dataclasses import dataclass

# One round of `_work` on one core of the reference machine, an idle two-core server
# of 2026, in seconds; rounds are repeated for half a second and the median counts.
REFERENCE_S = 0.014
HALF_A_SECOND = 0.5


@dataclass(frozen=True)
class Speed:
    """How many times longer than on the reference machine things take.

    Attributes:
        wall: on the clock, with whatever else runs here.
        cpu: in seconds of the processor, whatever else runs here.
    """

    wall: float = 1.0
    cpu: float = 1.0


def measure(seconds: float = HALF_A_SECOND) -> Speed:
    """Measure for about half a second; at least one round."""
    walls, cpus = [], []
    end = time.perf_counter() + seconds
    while not walls or time.perf_counter() < end:
        wall, cpu = time.perf_counter(), time.process_time()
        _work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    # The mean on the clock: a busy machine stalls some rounds and not others.
    wall = sum(walls) / len(walls)
    cpu = sorted(cpus)[len(cpus) // 2]
    return Speed(wall=wall / REFERENCE_S, cpu=cpu / REFERENCE_S)


def _work() -> float:
    """Half Python, half small matrix products: what the lessons are made of."""
    import numpy as np

    total = 0.0
    for number in range(60_000):
        total += number % 7
    matrix = np.full((64, 64), 0.01)
    for _ in range(400):
        matrix = np.tanh(matrix @ matrix)
    return total + float(matrix.sum())
