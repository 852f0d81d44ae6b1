"""Implicit reward by token: the plain functions behind the token microscope."""

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from workbench.views.aggregate import need
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Bars, HLine
from workbench.views.style import role
from workbench.worlds import solutions

SIDES = ("chosen", "rejected")
END = "⟨end⟩"
Laws = Float[Tensor, "prompt response"]


def token_frame(
    world,
    pairs,
    ref_logps: Laws,
    before: Laws,
    after: Laws,
    *,
    reward: Laws,
    beta: float | int,
    limit: int = 50,
) -> pd.DataFrame:
    """Implicit reward of every token of every pair, beside the exact advantage.

    The exact advantage of writing token a after prefix s is Q*(s, a) − V*(s) of the
    KL-regularised problem, which equals β·log(π*_β/π_ref)(a | s): the implicit reward
    by token that the optimum itself has. It is read off π*'s conditionals.

    Args:
        world: an enumerable world.
        pairs: chosen and rejected tokens with their `prompt` and `response` numbers.
        ref_logps: log π_ref of every response, nats.
        before, after: log π of every response before and after training, nats.
        reward: the reward whose optimum gives the advantage, reward units.
        beta: reward units per nat.
        limit: pairs taken, from the first.

    Returns:
        DataFrame[pair, prompt, side, position, token, before, after, advantage],
        rewards in reward units; a side's rows sum to β·log π/π_ref of the response.
    """
    tree = world.tree
    best = solutions.optimal_policy(ref_logps.double(), reward.double(), beta)
    policies = {"before": before, "after": after, "advantage": best}
    ref = tree.conditionals(ref_logps.double())
    tables = {
        side: beta * (tree.conditionals(logps.double()) - ref)
        for side, logps in policies.items()
    }
    words, rows = [*world.words, END], []
    for side in SIDES:
        tokens = pairs.chosen if side == "chosen" else pairs.rejected
        nodes, actions = tree.paths(tokens.response[:limit])
        for i, t in (actions >= 0).nonzero().tolist():
            prompt, node, action = int(tokens.prompt[i]), nodes[i, t], actions[i, t]
            row = {"pair": i, "prompt": world.prompts[prompt], "side": side}
            row |= {"position": t, "token": words[int(action)]}
            rows.append(
                row | {k: v[prompt, node, action].item() for k, v in tables.items()}
            )
    order = ["pair", "side", "position"]
    return pd.DataFrame(rows).sort_values(order).reset_index(drop=True)


def pair_label(frame: pd.DataFrame, pair) -> str:
    """A pair in words: its prompt, chosen and rejected review."""
    rows = frame[frame["pair"] == pair]
    remark = [" ".join(rows[rows["side"] == side]["token"]) for side in SIDES]
    return f"{rows['prompt'].iloc[0]}: {remark[0]} ≻ {remark[1]}"


def token_caption(rows: pd.DataFrame) -> str:
    """One sentence about a pair, computed from its rows."""
    total = rows.groupby("side")[["before", "after", "advantage"]].sum()
    pair = rows["pair"].iloc[0]
    margin = total.loc["chosen"] - total.loc["rejected"]
    return (
        f"In pair {pair} ({pair_label(rows, pair)}) training moved the implicit reward "
        f"of the chosen review by "
        f"{total.at['chosen', 'after'] - total.at['chosen', 'before']:+.2f} and of the "
        f"rejected one by "
        f"{total.at['rejected', 'after'] - total.at['rejected', 'before']:+.2f}; the "
        f"margin is {margin['after']:+.2f} reward units, at the exact optimum "
        f"{margin['advantage']:+.2f}."
    )


def token_figure(frame: pd.DataFrame, pair: int) -> Fig:
    """The tokens of one pair: before and after training, and the exact advantage.

    Args:
        frame: what `token_frame` returns.
        pair: number of the pair.

    Raises:
        KeyError: the frame has no such pair.
    """
    need(frame, "pair", "prompt", "side", "position", "token", "before", "after")
    rows = frame[frame["pair"] == pair]
    if rows.empty:
        raise KeyError(f"no pair {pair}; the frame has {frame['pair'].nunique()} pairs")
    values = rows[["before", "after", "advantage"]]
    low, high = min(0.0, values.min().min()), max(0.0, values.max().max())
    room = 0.08 * (high - low) or 1.0
    charts = [
        _side(rows[rows["side"] == side], side, (low - room, high + room))
        for side in SIDES
    ]
    title = f"Pair {pair}, {rows['prompt'].iloc[0]}"
    return Fig(Panels(charts, title, height=3.0), token_caption(rows), rows)


def _side(rows: pd.DataFrame, side: str, limits: Sequence[float | int]) -> Chart:
    names = rows["token"].tolist()
    looks = {
        "before": ("before training", role("before")),
        "after": ("after training", role("after")),
        "advantage": ("exact advantage Q* − V*", role("exact")),
    }
    bars = [Bars(names, rows[k].tolist(), *look) for k, look in looks.items()]
    layers = [HLine(0.0), *bars]
    unit = "implicit reward (reward units)"
    heading = f"{side.capitalize()}: {' '.join(names)}"
    return Chart(heading, "token", unit, layers, y_range=tuple(limits))
