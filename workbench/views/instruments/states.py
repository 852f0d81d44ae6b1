"""The states of an instrument, computed beforehand for a book that has no kernel.

A state is stored as its difference from the first figure: what a control does not
change is written once.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

from workbench.views.fig import Fig
from workbench.views.instruments.controls import Control, Slider
from workbench.views.instruments.head_table import HeadTable
from workbench.views.instruments.page_rule import Exact

STATES = "application/vnd.workbench.states+json"
MOST = 300_000  # bytes of compact JSON: a page stays quick to load
DIGITS = 4  # significant ones: no eye sees more
Change = dict[str, Any]


def states(
    name: str,
    draw: Callable[..., Fig],
    controls: Mapping[str, Control],
    exact: Exact | None = None,
) -> dict[str, Any] | None:
    """Every figure of the controls' grids, in a form that a short script can show.

    Args:
        name: of the instrument.
        draw: from the controls' values to a figure.
        controls: by the names of `draw`'s arguments.
        exact: what a page needs to compute the figures itself; None if it cannot.

    Returns:
        `controls`: per control its name, label, the words of its values and the index
        of the start, and the `table` of a table whose heads are pressed; `base`:
        plotly JSON of the start; `caption`: its sentence; `states`: from the indices
        of the values, as in "3,0", to a list of changes
        {"path": keys below `base`, "value": what stands there} and, under the path
        ["caption"], the sentence. With `exact` there are no states: `exact` holds its
        rule and tables, and each control its `numbers`, the values themselves. None if
        a control has no grid.

    Raises:
        ValueError: more than a page can carry; coarser values mend it.
    """
    whole = _states(name, draw, controls, exact)
    size = len(json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode())
    if size > MOST:
        raise ValueError(f"{name}: {size:,} bytes of states, at most {MOST:,}")
    return whole


def _states(
    name: str,
    draw: Callable[..., Fig],
    controls: Mapping[str, Control],
    exact: Exact | None,
) -> dict[str, Any] | None:
    grids = {key: control.grid() for key, control in controls.items()}
    if not all(grids.values()):
        return None
    start = draw(**{key: control.start for key, control in controls.items()})
    base = _rounded(start.plotly)
    whole = {"name": name, "base": base, "caption": start.caption, "alt": start.alt}
    if exact is not None:
        fine = {key: _all(control) for key, control in controls.items()}
        described = [
            _described(key, controls[key], fine[key]) | {"numbers": fine[key]}
            for key in fine
        ]
        tables = {"rule": exact.rule, "tables": exact.tables}
        return whole | {"controls": described, "exact": tables}
    found = {}
    for places in product(*(range(len(grid)) for grid in grids.values())):
        values = {k: grids[k][at] for k, at in zip(grids, places, strict=True)}
        figure = draw(**values)
        changes = list(differences(base, _rounded(figure.plotly)))
        changes.append({"path": ["caption"], "value": figure.caption})
        found[",".join(map(str, places))] = changes
    described = [_described(key, controls[key], grids[key]) for key in grids]
    return whole | {"controls": described, "states": found}


def differences(one: Any, other: Any, path: tuple = ()) -> Iterator[Change]:
    """What has to be written into `one` to make it `other`.

    Args:
        one, other: JSON values.
        path: where they stand.

    Yields:
        {"path": [keys and indices], "value": the new value}; a value of None under a
        key that `other` lacks takes it away.
    """
    if one == other:
        return
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            yield from differences(one.get(key), other.get(key), (*path, key))
    elif _alike(one, other):
        for at, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, theirs, (*path, at))
    else:
        yield {"path": list(path), "value": other}


def _alike(one: Any, other: Any) -> bool:
    """Whether two lists hold objects of one shape, to be compared one by one."""
    return (
        isinstance(one, list)
        and isinstance(other, list)
        and len(one) == len(other)
        and all(isinstance(part, dict) for part in (*one, *other))
    )


def _all(control: Control) -> list[Any]:
    """Every value of a slider; all others have no more than their grid."""
    return list(control.values) if isinstance(control, Slider) else control.grid()


def _described(key: str, control: Control, grid: list[Any]) -> dict[str, Any]:
    table = {"table": control.table()} if isinstance(control, HeadTable) else {}
    return {
        "name": key,
        "label": control.label,
        "values": [control.told(value) for value in grid],
        "start": grid.index(control.start),
    } | table


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    if isinstance(value, float):
        short = float(f"{value:.{DIGITS}g}")
        return int(short) if short.is_integer() and abs(short) < 1e6 else short
    return value
