"""All that is known of one method, as plain data."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from workbench.catalogue.index import Entry, card_fields
from workbench.catalogue.lessons import notebook, owners
from workbench.catalogue.pages import claims, seen
from workbench.catalogue.select import known_lessons
from workbench.catalogue.settings import settings


def describe(entry: Entry, entries: Mapping[str, Entry]) -> dict[str, Any]:
    """One method in full: card, docstring, settings, lesson and judged claims.

    Args:
        entry: the method.
        entries: all methods, which tell whose claim is whose.

    Returns:
        values that JSON can hold; ``claims`` are the judged claims of the method,
        ``lesson["claims"]`` is how many its lesson has judged.
    """
    number = entry.card.notebook
    judged = [row for row in claims() if row["notebook"][:2] == number[:2]]
    path = notebook(number)
    names = [n for n in known_lessons(entries) if n.partition("_")[0] == number]
    rest = entry.rests_at
    return {
        **card_fields(entry),
        "summary": entry.doc.partition("\n")[0],
        "objective": entry.objective,
        "compared_with": entry.section("Compared with"),
        "valid_only_if": entry.section("Valid only if"),
        "rests_at": {"heading": rest, "text": entry.section(rest)},
        "known_mistakes": [
            {"number": n, "mistake": text} for n, text in entry.mistakes.items()
        ],
        "settings": [asdict(setting) for setting in settings(entry.module)],
        "lesson": {
            "number": number,
            "name": names[0] if names else number,
            "notebook": str(path) if path else None,
            "claims": len(judged),
        },
        "claims": [
            _numbers(row)
            for row, keys in zip(judged, owners(judged, entries.values()), strict=True)
            if entry.card.key in keys
        ],
    }


def _numbers(row: dict[str, str]) -> dict[str, Any]:
    """A claim with its numbers as numbers, None where there is none, and as text."""
    told: dict[str, Any] = dict(row)
    for name in ("mean", "low", "high"):
        value = float(row[name])
        told[name] = value if math.isfinite(value) else None
    return told | {
        "seeds": int(row["seeds"]),
        "must_hold": row["must_hold"] == "True",
        "seen": seen(row),
    }
