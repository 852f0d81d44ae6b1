"""The arena's table to play with: sorted by any column, two methods seed by seed."""

from dataclasses import replace

from workbench.core.statistics import interval
from workbench.experiment.leaderboard import ORDERS, leaderboard
from workbench.experiment.leaderboard_figures import ranking
from workbench.views.chart import Chart
from workbench.views.fig import Fig
from workbench.views.instruments import Instrument
from workbench.views.instruments.controls import Slider
from workbench.views.instruments.head_table import Head, HeadTable
from workbench.views.layers import Line, Points
from workbench.views.style import looks


def paired(frame, by: str, first: str, second: str):
    """What two methods reach with the same seed.

    Args:
        frame: of ``compare``, one world.
        by: a column of ``leaderboard.ORDERS``.
        first, second: methods.

    Returns:
        DataFrame[FIRST, SECOND, difference], one row per seed that both have.
    """
    wide = frame[frame["problem"] == ""].pivot(
        index="seed", columns="method", values=by
    )
    both = wide[[first, second]].dropna() if first != second else wide[[first]]
    return both.assign(difference=both[first] - both[second]).reset_index()


TOPS = (5, 10, 20, 40, 80, 160)  # how many methods have a bar
SHOWN = 20


def duel(frame, by: str, first: str, second: str, top: int | None = None) -> Fig:
    """The table sorted by a column, and beside it two methods seed by seed.

    Args:
        frame: of ``compare``, one world.
        by: a column of ``leaderboard.ORDERS``.
        first, second: methods.
        top: how many methods have a bar; all if None.
    """
    whole, both = ranking(frame, by, top), paired(frame, by, first, second)
    names = list(dict.fromkeys((first, second)))
    styles = looks(names)
    values = both[names].to_numpy().tolist()
    lines = [Line(range(len(names)), row, faint=True) for row in values]
    dots = [
        Points([at] * len(both), both[name].tolist(), name, styles[name])
        for at, name in enumerate(names)
    ]
    meaning = ORDERS[by][0]
    beside = Chart(
        "The same seed, two methods", "", meaning, [*lines, *dots], x_names=names,
        width=0.5,
    )  # fmt: skip
    [ranked] = whole.panels.charts
    panels = replace(whole.panels, charts=[ranked, beside])
    return replace(whole, panels=panels, caption=_told(whole, both, names, by))


def _told(whole: Fig, both, names: list[str], by: str) -> str:
    if len(names) < 2 or len(both) < 2:
        return whole.caption
    mean, low, high = interval(both["difference"].tolist())
    known = "differ" if low > 0 or high < 0 else "do not differ for certain"
    return (
        f"{whole.caption} {names[0]} minus {names[1]}: {mean:+.2f} "
        f"[{low:+.2f}, {high:+.2f}] over the same {len(both)} seeds: they {known}."
    )


def sorter(frame, by: str = "gold", live: bool | None = None) -> Instrument:
    """``duel`` under the whole table, whose heads sort it, and a slider per method.

    Args:
        frame: of ``compare``, one world.
        by: the column of the first table.
        live: True, False, or None to ask the surroundings.
    """
    columns = [name for name in ORDERS if name in frame]
    table = leaderboard(frame, by)
    methods = table[table["problem"] == ""]["method"].tolist()
    first, second = methods[0], methods[min(1, len(methods) - 1)]

    def draw(by: str, first: str, second: str, top: int) -> Fig:
        return duel(frame, by, first, second, top)

    tops = [top for top in TOPS if top < len(methods)] + [len(methods)]
    start = min(SHOWN, len(methods))
    controls = {
        "by": _table(table[table["problem"] == ""], columns, by),
        "first": Slider("compare", methods, first, _few(methods)),
        "second": Slider("with", methods, second, _few(methods)),
        "top": Slider("bars", tops, start, (start,)),
    }
    return Instrument("arena", draw, controls, live, computed_by=ranking)


def _table(table, columns: list[str], by: str) -> HeadTable:
    """The means of every method, best first by any column."""
    heads = [Head("method", picks=False)]
    heads += [Head(name, *ORDERS[name]) for name in columns]
    rows = table[["method", *columns]].itertuples(index=False)
    label = "Means over seeds; a head sorts by its column"
    return HeadTable(label, heads, [tuple(row) for row in rows], by)


def _few(methods: list[str]) -> list[str]:
    """At most three of the methods, the best and the last among them, for a book."""
    return [methods[0], methods[len(methods) // 2], methods[-1]]
