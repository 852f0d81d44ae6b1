"""The tree walk: write a review word by word, and see what each next word is worth.

At every prefix stand the chances of the next word under four policies and its value
under two: the soft value, which knows that the rest will be steered too, and the mean
of what the frozen model would go on to write.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.measure.steering import steered
from workbench.methods.decoding import best_of_n
from workbench.methods.values import soft_backup
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.instruments.controls import Slider, powers
from workbench.views.instruments.shell import Instrument
from workbench.views.instruments.word_path import WordPath
from workbench.views.layers import Bars, VLine
from workbench.views.style import role, series

END = "the end"
N = 10  # of best-of-n
Responses = Float[Tensor, " response"]


@dataclass(frozen=True)
class Outlook:
    """What may come after a prefix.

    Attributes:
        frame: DataFrame[word, π_ref, V^ref, best-of-10, π*, mean, soft], one row per
            next word and one for the end: four probabilities, then Q^ref and Q* in
            reward units.
        mean, soft: V^ref and V* of the prefix, reward units.
    """

    frame: pd.DataFrame
    mean: float
    soft: float


def outlook(
    world, ref: Responses, reward: Responses, strength: float, node: int
) -> Outlook:
    """Chances and values of what may come after one prefix, exactly.

    Args:
        world: an enumerable world.
        ref: log π_ref of every response to one prompt, nats.
        reward: of every response, reward units.
        strength: b = 1/β of steering and of the optimum, nats per reward unit.
        node: number of the prefix in the world's tree.
    """
    tree = world.tree
    base = tree.conditionals(ref.double())
    mean = soft_backup.linear(tree, base, reward)
    soft = soft_backup.backup(tree, base, reward, 1 / strength)
    by_mean = tree.conditionals(steered(tree, base, mean.Q, strength))
    best = tree.conditionals(best_of_n.log_distribution(ref.double(), reward, N))
    columns = {
        "π_ref": base[node].exp(),
        "V^ref": by_mean[node].exp(),
        f"best-of-{N}": best[node].exp(),
        "π*": soft.log_policy[node].exp(),
        "mean": mean.Q[node],
        "soft": soft.Q[node],
    }
    frame = pd.DataFrame({key: value.tolist() for key, value in columns.items()})
    frame.insert(0, "word", [*world.words, END])
    return Outlook(frame, mean.V[node].item(), soft.V[node].item())


def outlook_caption(found: Outlook, prefix: str, finished: float | None) -> str:
    """One sentence about a prefix, computed from what may come after it.

    Args:
        found: at the prefix.
        prefix: its words.
        finished: gold reward if the review ends here, else None.
    """
    if finished is not None:
        return f"“{prefix}” is finished: its gold reward is {finished:.2f}."
    top = found.frame.loc[found.frame["π*"].idxmax()]
    return (
        f"After “{prefix}” the frozen model earns {found.mean:.2f} on average; the "
        f"soft value is {found.soft:.2f}, and the optimum goes on with “{top.word}” "
        f"(probability {top['π*']:.2f}; {top['π_ref']:.2f} under the reference)."
    )


def outlook_figure(found: Outlook, prefix: str, finished: float | None) -> Fig:
    """Two panels: the chances of each next word, and its two values.

    Args:
        found, prefix, finished: as for :func:`outlook_caption`.
    """
    names = found.frame["word"].tolist()
    looks = {
        "π_ref": ("π_ref", role("reference")),
        "V^ref": ("steered by V^ref", series(0)),
        f"best-of-{N}": (f"best-of-{N}", series(1)),
        "π*": ("π* (exact)", role("exact")),
    }
    chances = [
        Bars(names, found.frame[key].tolist(), label, look)
        for key, (label, look) in looks.items()
    ]
    values = [
        Bars(names, found.frame["mean"].tolist(), "Q^ref, the mean", series(0)),
        Bars(names, found.frame["soft"].tolist(), "Q*, soft", role("exact")),
        VLine(0.0),
    ]
    charts = [
        Chart("Chance of the next word", "probability", "", chances, horizontal=True),
        Chart("Its value", "reward units", "", values, horizontal=True),
    ]
    told = outlook_caption(found, prefix, finished)
    return Fig(Panels(charts, f"After “{prefix}”", height=4.6), told, found.frame)


def tree_walk(
    world,
    ref_logps: Float[Tensor, "prompt response"],
    reward: Float[Tensor, "prompt response"],
    *,
    prompt: int = 0,
    strength: float | int = 3.0,
    live: bool | None = None,
) -> Instrument:
    """Choose words by hand and see how far four policies agree with you.

    Args:
        world: an enumerable world.
        ref_logps: log π_ref of every response, nats.
        reward: of every response, reward units.
        prompt: whose tree is walked.
        strength: where the slider of b starts, nats per reward unit.
        live: True, False, or None to ask the surroundings.
    """
    tree, ref, gold = world.tree, ref_logps[prompt], reward[prompt]

    @lru_cache(maxsize=256)
    def found(strength: float | int, node: int) -> Outlook:
        return outlook(world, ref, gold, float(strength), node)

    def draw(path: Sequence[int], strength: float | int) -> Fig:
        words = [word for word in path if word < len(world.words)]
        prefix = " ".join(world.words[word] for word in words) or "(nothing yet)"
        over = len(words) < len(path) or len(words) == tree.depth
        finished = gold[tree.index(words)].item() if over else None
        node = tree.index(words if len(words) < tree.depth else words[:-1])
        return outlook_figure(found(strength, node), prefix, finished)

    controls: dict[str, Any] = {
        "path": WordPath(world.words, tree.depth, END),
        "strength": _strengths(strength),
    }
    return Instrument("Tree walk", draw, controls, live, computed_by=outlook)


def _strengths(start: float | int) -> Slider:
    return powers("strength b = 1/β", start, low=0.1, high=30.0, each=10, coarse=1)
