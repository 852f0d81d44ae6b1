"""The headings of a method's docstring, and what stands below each."""

import re

HEADINGS = (
    ("Objective", r"^Objective:"),
    ("Compared with", r"^Compared with [^\n:]+:"),
    ("Valid only if", r"^Valid only if:"),
    ("Minimiser or Fixed point", r"^(Minimiser|Fixed point):"),
    ("Known mistakes", r"^Known mistakes:"),
)
_NUMBERED = re.compile(r"(?:(?<=\s)|^)\((\d+)\)\s+")


def section_text(doc: str, heading: str) -> str:
    """The text below one heading of a docstring, on one line; empty if it is missing.

    Args:
        doc: the docstring, without its indentation.
        heading: how the heading begins, e.g. ``"Objective"`` or ``"Compared with"``.
    """
    found = [m for _, pattern in HEADINGS for m in re.finditer(pattern, doc, re.M)]
    found.sort(key=lambda match: match.start())
    for place, match in enumerate(found):
        if match.group().startswith(heading):
            after = found[place + 1].start() if place + 1 < len(found) else len(doc)
            return " ".join(doc[match.end() : after].split())
    return ""


def compared(doc: str) -> str:
    """What a docstring compares its method with, by name; empty if it does not."""
    found = re.search(r"^Compared with ([^\n:]+):", doc, re.M)
    return found.group(1) if found else ""


def numbered_mistakes(doc: str) -> dict[int, str]:
    """The known mistakes of a docstring: number to sentence."""
    parts = _NUMBERED.split(section_text(doc, "Known mistakes"))
    numbers, texts = parts[1::2], parts[2::2]
    return {int(n): text.strip(" .;,") for n, text in zip(numbers, texts, strict=True)}
