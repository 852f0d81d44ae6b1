"""Implicit rewards β·log(π/π_ref): of pairs along training, and of single tokens."""

import pandas as pd

from workbench.views.aggregate import curve, need, note
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Bars, Heat, HLine
from workbench.views.style import role

UNIT = "implicit reward (reward units)"


def implicit_rewards(
    frame: pd.DataFrame, *, caption: str, x: str = "step", spread: str = "range"
) -> Fig:
    """Chosen and rejected implicit reward, and their margin, along training.

    Args:
        frame: DataFrame[seed, step, chosen, rejected, margin], reward units.
        caption: one sentence that could be false.
        x: column on the x axis.
        spread: what the band over seeds is, "range" or "interval".

    Returns:
        Two panels: both rewards, and the margin. At 0 the policy is the reference.
    """
    need(frame, x, "chosen", "rejected", "margin")
    pair = [HLine(0.0)]
    for name in ("chosen", "rejected"):
        pair += curve(frame, x, name, name, role(name), spread)
    margin = [HLine(0.0), *curve(frame, x, "margin", "margin", role("margin"), spread)]
    remark = note(frame, spread)
    charts = [
        Chart("Implicit rewards", x, UNIT, pair, remark),
        Chart("Chosen minus rejected", x, "margin (reward units)", margin, remark),
    ]
    return Fig(Panels(charts), caption, frame)


def token_rewards(frame: pd.DataFrame, *, caption: str, by: str | None = None) -> Fig:
    """The implicit reward of every token of a response.

    Args:
        frame: DataFrame[position, token, reward], reward units; tokens may repeat.
            Several seeds are averaged.
        caption: one sentence that could be false.
        by: column that tells several responses apart; they become the rows of a
            table of coloured cells. None: one response, as bars.

    Raises:
        ValueError: several responses and no column that tells them apart.
    """
    need(frame, "position", "token", "reward")
    if by is None:
        rows = _one_response(frame)
        bars = Bars(rows["token"].tolist(), rows["reward"].tolist(), "", role("policy"))
        chart = Chart("Implicit reward by token", "token", UNIT, [HLine(0.0), bars])
        return Fig(Panels([chart], height=2.8), caption, frame)
    heat = token_heat(frame, by)
    chart = Chart("Implicit reward by token", "position (tokens)", "", [heat])
    height = 1.1 + 0.42 * len(heat.rows)
    return Fig(Panels([chart], height=height), caption, frame)


def _one_response(frame: pd.DataFrame) -> pd.DataFrame:
    rows = frame.groupby(["position", "token"], as_index=False)["reward"].mean()
    if rows["position"].duplicated().any():
        raise ValueError("several tokens at one position: name the column in `by`")
    return rows


def token_heat(frame: pd.DataFrame, by: str) -> Heat:
    """One row per response, one cell per token: the token and its reward."""
    need(frame, by, "position", "token", "reward")
    keys = [by, "position", "token"]
    frame = frame.groupby(keys, as_index=False, sort=False)["reward"].mean()
    width = int(frame.groupby(by, sort=False).size().max())
    names, table, words = [], [], []
    for name, group in frame.groupby(by, sort=False):
        group = group.sort_values("position")
        gap = width - len(group)
        table.append([*map(float, group["reward"]), *[None] * gap])
        pairs = zip(group["token"], group["reward"], strict=True)
        words.append(
            [*(f"{token}\n{value:+.2f}" for token, value in pairs)] + [""] * gap
        )
        names.append(str(name))
    return Heat(table, names, words, "reward units")
