"""An instrument without a kernel: native sliders that step through computed states.

A notebook keeps the states of an instrument beside its picture, or the name of the file
that `publish` has moved them to. Here they become a script beside the page, and the
sliders stand below the picture, where `instrument.js` moves it. An instrument with a
rule in `exact.js` has no states: the page computes them.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

from workbench.book.pictures import FOLDER, script
from workbench.runner.publish import STATES
from workbench.views.instruments.head_table import is_table, markup

FILE = re.compile(r"instrument-\d+\.json")


def states_of(output: Any, results: Path) -> dict[str, Any] | None:
    """The states that an output holds or names, None if there are none to be used.

    Args:
        output: of notebook format 4; None for no output.
        results: the folder of the chapter's published files.
    """
    found = output.get("data", {}).get(STATES) if output is not None else None
    if isinstance(found, dict) and "file" in found:
        found = _read(results, found["file"])
    return found if isinstance(found, dict) and _is_sound(found) else None


def _read(results: Path, name: Any) -> Any:
    if not (isinstance(name, str) and FILE.fullmatch(name)):
        return None
    try:
        return json.loads((results / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _is_sound(found: dict[str, Any]) -> bool:
    """Whether there is a figure, a control that can be moved, and a state to show."""
    base, controls = found.get("base"), found.get("controls")
    return (
        isinstance(base, dict)
        and isinstance(base.get("data"), list)
        and (isinstance(found.get("states"), dict) or _is_rule(found.get("exact")))
        and isinstance(controls, list)
        and bool(controls)
        and all(map(_is_control, controls))
    )


def _is_rule(exact: Any) -> bool:
    return (
        isinstance(exact, dict)
        and isinstance(exact.get("rule"), str)
        and isinstance(exact.get("tables"), dict)
    )


def _is_control(control: Any) -> bool:
    if not isinstance(control, dict):
        return False
    values, start = control.get("values"), control.get("start")
    return (
        isinstance(values, list)
        and isinstance(start, int)
        and 0 <= start < len(values)
        and isinstance(control.get("label"), str)
    )


def controls(states: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """The sliders of an instrument, and the file with its states.

    Args:
        states: sound ones.
        name: of the figure that they move, such as `20_dpo-3`.

    Returns:
        HTML that is hidden until `instrument.js` finds it, and path -> content.
    """
    path = f"{FOLDER}/{name}-states.js"
    title = html.escape(str(states.get("name") or "Instrument"))
    sliders = [_control(c, f"{name}-{n}") for n, c in enumerate(states["controls"])]
    markup = (
        f'<div class="wb-instrument" role="group" aria-label="{title}" hidden '
        f'data-states="{path}" data-name="{name}"><div class="wb-controls">'
        f"{''.join(sliders)}</div>"
        '<button type="button" class="wb-reset">Reset</button>'
        '<p class="wb-said" aria-live="polite"></p></div>'
    )
    kept = {key: states.get(key) for key in ("base", "caption", "states", "exact")}
    kept["controls"] = [
        {"name": control.get("name"), "numbers": control.get("numbers")}
        for control in states["controls"]
    ]
    return markup, {path: script("states", name, kept)}


def _control(control: dict[str, Any], name: str) -> str:
    """A slider, or a table whose heads are pressed."""
    table, values = control.get("table"), [str(value) for value in control["values"]]
    if not is_table(table) or not {head["text"] for head in table["heads"]} >= {
        *values
    }:
        return _slider(control, name)
    keys = html.escape(json.dumps(values))
    return (
        f'<div class="wb-heads">{markup(table)}'
        f'<input type="hidden" value="{control["start"]}" data-keys="{keys}"></div>'
    )


def _slider(control: dict[str, Any], name: str) -> str:
    values = [str(value) for value in control["values"]]
    start, words = control["start"], html.escape(json.dumps(values))
    now = html.escape(values[start])
    if len(values) < 2:  # a page has this value only: there is nothing to move
        return f'<input type="hidden" value="{start}">'
    return (
        f'<div><label for="{name}">{html.escape(control["label"])}: '
        f'<output for="{name}">{now}</output></label>'
        f'<input type="range" id="{name}" min="0" max="{len(values) - 1}" step="1" '
        f'value="{start}" aria-valuetext="{now}" data-words="{words}"></div>'
    )
