"""Colours, dashes and markers: one look for one role, everywhere.

Two palettes. That of the roles is Okabe and Ito's, which stays distinct under the
common forms of colour blindness, and it is used for roles only: gold is the gold reward
and nothing else. Methods and other series take the second one, after Paul Tol's muted
scheme. Dash and marker repeat the distinction for greyscale print. Dashed black is the
exact value; what was learned is solid.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

BLACK = "#000000"
GREY = "#7f7f7f"
ORANGE = "#e69f00"
SKY = "#56b4e9"
GREEN = "#009e73"
YELLOW = "#f0e442"
BLUE = "#0072b2"
VERMILLION = "#d55e00"
PURPLE = "#cc79a7"

# The second palette: none of these is the colour of a role.
INDIGO = "#332288"
OLIVE = "#999933"
WINE = "#882255"
TEAL = "#44aaa0"
BROWN = "#8c510a"
ROSE = "#cc6677"
PLUM = "#aa4499"


@dataclass(frozen=True)
class Style:
    """How one series looks.

    Args:
        colour: hex colour.
        dash: "solid", "dash", "dot" or "dashdot" (plotly's names).
        marker: "circle", "square", "diamond", "triangle-up", "triangle-down",
            "cross", "x" or "star" (plotly's names).
    """

    colour: str
    dash: str = "solid"
    marker: str = "circle"


ROLES: dict[str, Style] = {
    "exact": Style(BLACK, "dash", "x"),
    "policy": Style(BLUE),
    "reference": Style(GREY, "solid", "square"),
    "gold": Style(ORANGE, "solid", "star"),
    "proxy": Style(PURPLE, "dashdot", "diamond"),
    "chosen": Style(GREEN, "solid", "triangle-up"),
    "rejected": Style(VERMILLION, "solid", "triangle-down"),
    "margin": Style(SKY, "solid", "diamond"),
    "before": Style(GREY, "solid", "square"),
    "after": Style(BLUE),
    "estimate": Style(BLUE, "dot", "circle"),
    "fitted": Style("#555555", "dot", "cross"),
    "guide": Style("#bbbbbb", "solid", "circle"),
}

# Every method keeps its look in every notebook. No two share colour and marker.
METHODS: dict[str, Style] = {
    "sft": Style(BROWN, "solid", "square"),
    "bt": Style(PURPLE, "dashdot", "diamond"),  # a reward model is the proxy
    "dpo": Style(INDIGO, "solid", "circle"),
    "ipo": Style(TEAL, "solid", "square"),
    "rloo": Style(OLIVE, "solid", "triangle-up"),
    "ppo": Style(WINE, "solid", "diamond"),
    "nash_md": Style(ROSE, "solid", "star"),
    "best_of_n": Style(BROWN, "solid", "triangle-down"),
    "vas": Style(TEAL, "solid", "cross"),
    "soft_backup": Style(BLACK, "dash", "x"),
}

# What a method learns from, in the order in which legends list it.
DATA: dict[str, Style] = {
    "pairs": Style(INDIGO, "solid", "circle"),
    "lists": Style(OLIVE, "solid", "square"),
    "thumbs": Style(TEAL, "solid", "triangle-up"),
    "scores": Style(WINE, "solid", "diamond"),
    "tokens": Style(ROSE, "solid", "triangle-down"),
    "responses": Style(BROWN, "solid", "cross"),
    "own": Style(PLUM, "solid", "x"),
    "none": Style(BLACK, "solid", "star"),
}

_COLOURS = (INDIGO, OLIVE, WINE, TEAL, BROWN, ROSE)
_MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")
_DASHES = ("solid", "dot", "dashdot", "dash")


def role(name: str) -> Style:
    """The look of a role ("policy", "gold", "exact" …).

    Raises:
        KeyError: the name is no role; the message lists the roles.
    """
    if name not in ROLES:
        raise KeyError(f"unknown role {name!r}; roles: {', '.join(sorted(ROLES))}")
    return ROLES[name]


def method(key: str) -> Style:
    """The look of a method; unknown keys get a stable one from their name."""
    if key in METHODS:
        return METHODS[key]
    code = zlib.crc32(key.encode())
    colour = _COLOURS[code % len(_COLOURS)]
    marker = _MARKERS[(code // len(_COLOURS)) % len(_MARKERS)]
    return Style(colour, "solid", marker)


def series(index: int, of: Style | None = None) -> Style:
    """The look of the index-th series of its kind.

    Args:
        index: 0, 1, 2 …
        of: keep this style's colour and vary dash and marker (several curves of
            one role); None varies the colour too.
    """
    marker = _MARKERS[index % len(_MARKERS)]
    if of is not None:
        return Style(of.colour, _DASHES[index % len(_DASHES)], marker)
    return Style(_COLOURS[index % len(_COLOURS)], "solid", marker)


def look(name: str, index: int = 0) -> Style:
    """The look of a role if `name` is one, of a method otherwise, else the index-th."""
    if name in ROLES:
        return role(name)
    return method(name) if name in METHODS else series(index)


def looks(names: Iterable[str]) -> dict[str, Style]:
    """A look for each of several lines in one chart, no two alike.

    Roles, methods and kinds of data that have a look keep it. The others take the
    colours that are still free, in order; when those run out, new dashes and markers.
    """
    names = list(dict.fromkeys(names))
    known = {**DATA, **METHODS, **ROLES}
    chosen = {name: known[name] for name in names if name in known}
    taken = {style.colour for style in chosen.values()}
    free = [colour for colour in _COLOURS if colour not in taken]
    again = [(c, d) for d in _DASHES[1:] for c in (*free, *_COLOURS)]
    spare = iter([*((colour, "solid") for colour in free), *dict.fromkeys(again)])
    seen = {(s.colour, s.dash) for s in chosen.values()}
    spare = (pair for pair in spare if pair not in seen)
    rest = [name for name in names if name not in known]
    used = {style.marker for style in chosen.values()}
    markers = sorted(_MARKERS, key=used.__contains__)  # free ones first
    for i, (name, (colour, dash)) in enumerate(zip(rest, spare, strict=False)):
        chosen[name] = Style(colour, dash, markers[i % len(markers)])
    if len(chosen) < len(names):
        raise ValueError(f"{len(names)} lines are too many for one chart")
    return {name: chosen[name] for name in names}


def tint(colour: str, alpha: float) -> str:
    """`colour` as an `rgba(…)` string with opacity `alpha`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
