"""The comparison in one picture and in one table that can be sorted."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from workbench import views
from workbench.experiment.leaderboard import ORDERS, leaderboard
from workbench.experiment.problem import Problem
from workbench.views.fig import Fig
from workbench.worlds import solutions


def picture(
    frame, problem: Problem, *, always: Sequence[str] = (), caption: str | None = None
) -> Fig:
    """Gold reward against √KL of every method, coloured by what it learns from.

    Args:
        frame: of ``compare``, one world.
        problem: where they learned; an exact world adds the frontier.
        always: methods that are named in any case.
        caption: a statement that can be checked; one about the frontier if None.
    """
    numbers = frame[frame["problem"] == ""]
    path = None
    if problem.is_exact:
        with torch.no_grad():
            ref = problem.reference.response_logps(problem.world)
        gold = problem.world.gold.double()
        betas = (10 ** torch.linspace(2, -2, 60)).tolist()
        path = solutions.frontier(ref, gold, gold, betas)
    if caption is None:
        caption = _caption(numbers, problem)
    return views.points(
        numbers, path, caption=caption, labels=14, always=("dpo", *always), root=True
    )


def _caption(frame, problem: Problem) -> str:
    best = frame.groupby("method")["gold"].mean().idxmax()
    first = f"{best} has the highest mean gold reward of {frame['method'].nunique()}"
    if not problem.is_exact:
        return f"{first} objectives; every number is estimated from samples."
    gap = frame.groupby("method")["frontier_gap"].mean().min()
    return f"{first} objectives; every one lies {gap:.2f} or more below the frontier."


def ranking(frame, by: str = "gold", top: int | None = None) -> Fig:
    """The whole table, sorted by a column, with bars of that column above it.

    A ranking without intervals would be read as a fact about methods: the error bars
    are 95 % intervals over seeds.

    Args:
        frame: of ``compare``, one world.
        by: a column of ``leaderboard.ORDERS``.
        top: how many methods have a bar; all if None.
    """
    table = leaderboard(frame, by)
    table = table[table["problem"] == ""].drop(columns=["problem", "outside"])
    meaning, small = ORDERS[by]
    first, last = table["method"].iloc[0], table["method"].iloc[-1]
    places = {key: place for place, key in enumerate(table["method"][:top])}
    few = f"{len(places)} of " if len(places) < len(table) else ""
    shown = frame[frame["method"].isin(places)].sort_values(
        "method", key=lambda column: column.map(places), kind="stable"
    )
    drawn = views.bars(
        shown, "method", by, label=meaning, horizontal=True, spread="interval",
        title=f"{few}{len(table)} methods, best on top",
        caption=f"By {meaning}, {'smallest' if small else 'largest'} first: {first} "
        f"leads and {last} comes last; means over {table['seeds'].iloc[0]} seeds.",
    )  # fmt: skip
    return replace(drawn, data=table, rows=len(table))
