"""The way from a language model to an aligned one, drawn, with the present place lit.

An SVG, which notebooks and the site show as a picture of its own: it inherits neither
fonts nor colours of the page. So every word stands on a filled box, and the arrows are
of a grey that is seen on white and on black.
"""

import html
from collections.abc import Iterable
from dataclasses import dataclass

from workbench.views.layers import Number

WIDE, HIGH = 772, 200
BOX = (112, 48)
FILL, INK, EDGE = "#e4e6ee", "#222222", "#808080"
LIT, LIT_INK = "#332288", "#ffffff"  # of the second palette: no role's colour


@dataclass(frozen=True)
class Stage:
    """A box: its two lines and the place of its upper left corner."""

    title: str
    words: str
    x: int
    y: int


STAGES: dict[str, Stage] = {
    "pretraining": Stage("Pretraining", "imitate all text", 1, 49),
    "sft": Stage("SFT", "imitate answers", 133, 49),
    "preferences": Stage("Preferences", "which is better?", 265, 49),
    "reward": Stage("Reward model", "score an answer", 397, 5),
    "rl": Stage("RL", "raise the score", 529, 5),
    "dpo": Stage("DPO", "straight to the policy", 397, 93),
    "policy": Stage("Policy", "is it better?", 659, 49),
}
_WIDER = {"dpo": 244}
_NOTE = "the SFT model is the reference: going far from it costs β per nat of KL"
_ARROWS = (
    "M113 73H131", "M245 73H263",  # pretraining, SFT, preferences
    "M377 65L395 38", "M377 81L395 108",  # to the reward model, to DPO
    "M509 29H527", "M641 38L657 65", "M641 108L657 81",  # RL, and both to the policy
)  # fmt: skip
_REFERENCE = "M189 97V176H715V99"


@dataclass(frozen=True)
class Pipeline:
    """The drawn pipeline; Jupyter and the site show it, a terminal prints a line.

    Attributes:
        here: the stages that are lit.
    """

    here: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lit = [STAGES[name].title for name in self.here]
        told = f" Here: {', '.join(lit)}." if lit else ""
        return (
            "Pretraining → SFT → preferences → reward model and RL, or DPO → policy; "
            f"{_NOTE}.{told}"
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        shown = {"alt": repr(self), "width": WIDE, "height": HIGH}
        bundle = {"image/svg+xml": self.svg, "text/plain": repr(self)}
        return bundle, {"image/svg+xml": shown}

    @property
    def svg(self) -> str:
        """The picture."""
        arrows = "".join(
            f'<path d="{path}" marker-end="url(#tip)"/>' for path in _ARROWS
        )
        kept = f'<path d="{_REFERENCE}" stroke-dasharray="5 4" marker-end="url(#tip)"/>'
        boxes = "".join(_box(name, name in self.here) for name in STAGES)
        note = _rect(222, 163, 460, 26, FILL) + _text(452, 180, _NOTE, INK, 12)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" '
            f'width="{WIDE}" height="{HIGH}" role="img" text-anchor="middle" '
            'font-family="system-ui, Helvetica, Arial, sans-serif">'
            f"<title>{html.escape(repr(self))}</title>"
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" '
            'markerWidth="6" markerHeight="6" orient="auto">'
            f'<path d="M0 0L8 4L0 8Z" fill="{EDGE}"/></marker></defs>'
            f'<g fill="none" stroke="{EDGE}" stroke-width="1.8">{arrows}{kept}</g>'
            f"{boxes}{note}</svg>"
        )


def _rect(x: int, y: int, wide: int, high: int, fill: str) -> str:
    place = f'x="{x}" y="{y}" width="{wide}" height="{high}"'
    return f'<rect {place} rx="6" fill="{fill}" stroke="{EDGE}"/>'


def _text(
    x: Number, y: int, words: str, ink: str, size: int, bold: bool = False
) -> str:
    place = f'x="{x:g}" y="{y}" font-size="{size}" fill="{ink}"'
    weight = ' font-weight="bold"' if bold else ""
    return f"<text {place}{weight}>{html.escape(words)}</text>"


def _box(name: str, lit: bool) -> str:
    stage, (wide, high) = STAGES[name], BOX
    wide = _WIDER.get(name, wide)
    fill, ink = (LIT, LIT_INK) if lit else (FILL, INK)
    middle = stage.x + wide / 2
    return (
        _rect(stage.x, stage.y, wide, high, fill)
        + _text(middle, stage.y + 20, stage.title, ink, 13, bold=True)
        + _text(middle, stage.y + 38, stage.words, ink, 12)
    )


def pipeline(here: str | Iterable[str] = ()) -> Pipeline:
    """The stages from pretraining to a policy, with the present one lit.

    Args:
        here: name or names of `STAGES`: pretraining, sft, preferences, reward, rl,
            dpo, policy; none is lit by default.

    Raises:
        KeyError: no such stage; the message lists them.
    """
    names = (here,) if isinstance(here, str) else tuple(here)
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise KeyError(f"unknown stage {unknown[0]!r}; stages: {', '.join(STAGES)}")
    return Pipeline(names)
