"""How long one move of each instrument takes: state, picture, and its change in place.

    python benchmarks/instruments.py

Each instrument is the one of its lesson on the smallest exact world. CPU milliseconds
on one thread, the median over moves of every control.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from statistics import median

import torch

from workbench.core.seeds import generator
from workbench.views.instruments.shell import Instrument

MOVES = 12


def times(instrument: Instrument) -> tuple[float, float]:
    """Median and longest milliseconds of a move, over all controls.

    Args:
        instrument: a live one.
    """
    seen = []
    for name, widget in instrument.widgets.items():
        values = instrument.controls[name].grid() or [widget.value]
        for value in values[:MOVES]:
            before = time.process_time()
            widget.value = value
            seen.append(1000 * (time.process_time() - before))
            if instrument.last_error:
                raise instrument.last_error
        widget.value = instrument.defaults[name]
    return median(seen), max(seen)


def main() -> None:
    """Print one line per instrument."""
    torch.set_num_threads(1)
    for instrument in made():
        middle, longest = times(instrument)
        print(f"{instrument.name:24s} {middle:6.0f} ms, at most {longest:6.0f} ms")


def made() -> list[Instrument]:
    """One live instrument of each kind that needs no trained model."""
    from workbench.views import instruments as live
    from workbench.views.instruments.clip_explorer import clip_explorer
    from workbench.views.instruments.group_advantages import group_advantages
    from workbench.worlds import preference_games
    from workbench.worlds.reviews import Reviews

    world = Reviews(max_words=3)
    ref, gold = world.author, world.gold
    noise = torch.randn(gold.shape, generator=generator(0), dtype=torch.float64)
    proxy = 0.5 * gold + noise
    even = torch.full((3,), 1 / 3, dtype=torch.float64).log()
    game = preference_games.biased_rps(0.18, 0.14, 0.16)
    longer = Reviews(max_words=4)  # as in lessons 00 and 10
    return [
        live.annotator(longer, longer.author, live=True),
        live.link_explorer(live=True),
        live.beta_explorer(world, ref, proxy, live=True),
        live.peak_explorer(world, ref, proxy, beta=0.5, live=True),
        live.divergence_explorer(world, ref, gold, beta=0.5, live=True),
        live.walk_explorer(game, even, ["rock", "paper", "scissors"], live=True),
        live.tree_walk(world, ref, gold, live=True),
        clip_explorer(live=True),
        group_advantages(live=True),
    ]


if __name__ == "__main__":
    main()
