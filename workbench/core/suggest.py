"""A near miss: the names that were perhaps meant by a word that is none of them."""

import difflib
from collections.abc import Iterable


def suggest(word: str, known: Iterable[str]) -> str:
    """A phrase with the known names nearest to a word, to end a message with.

    Upper and lower case, spaces and the kind of dash do not count; a word of two
    letters or more that begins a name is near to it.

    Args:
        word: what was typed.
        known: the names that exist.

    Returns:
        for example ``"; did you mean dpo?"`` with at most three names, the nearest
        first, or ``""`` if nothing is near.
    """
    names = {_plain(name): name for name in known}
    typed = _plain(word)
    near = difflib.get_close_matches(typed, names, n=3, cutoff=0.6)
    if len(typed) > 1:
        near += sorted((n for n in names if n.startswith(typed)), key=len)
    told = [names[name] for name in dict.fromkeys(near)][:3]
    *most, last = told or [""]
    listed = f"{', '.join(most)} or {last}" if most else last
    return f"; did you mean {listed}?" if told else ""


def _plain(name: str) -> str:
    """A name as it is compared."""
    return name.casefold().strip().replace("-", "_").replace(" ", "_")
