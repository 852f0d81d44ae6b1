"""An audit as one page of HTML: live figures, tables, and tokens that can be read.

Every text of a file or a model is escaped.
"""

from pathlib import Path

from workbench.experiment import audit_figures
from workbench.experiment.audit import Audit
from workbench.experiment.audit_pairs import Extreme
from workbench.experiment.audit_signs import of_audit
from workbench.experiment.report_page import figures, heading, notes, safe, table
from workbench.views.fig import Fig


def title(found: Audit) -> str:
    """What was audited on what."""
    settings = found.settings
    policy, file = (Path(path).name for path in (settings.policy, settings.pairs))
    return f"Audit of {policy} on {file}"


def body(found: Audit, drawn: dict[str, Fig]) -> str:
    """The whole report, as HTML."""
    settings = found.settings
    half = len(found.extremes) // 2
    parts = [
        heading(title(found)),
        f"<p>Reference: {safe(Path(settings.reference).name)}; "
        f"β = {settings.beta:g} reward units per nat.</p>",
        notes((*of_audit(found), *found.notes)),
        "<h2>Summary</h2>" + table(found.summary),
        *_more(found),
        figures(drawn),
        "<h2>Where margins come from</h2><p>A blue token raises the reward of its "
        "response, an orange one lowers it; point at one to read its reward.</p>",
        "<h3>Lowest margins</h3>",
        *map(_pair, found.extremes[: half or None]),
        *(["<h3>Highest margins</h3>"] if half else []),
        *map(_pair, found.extremes[half:] if half else []),
        "<h2>Samples before and after</h2>" + table(found.drawn.shown),
    ]
    return "".join(parts)


def _more(found: Audit) -> list[str]:
    """Tables of what was asked for beyond the pairs."""
    told = []
    if found.gap is not None:
        told.append("<h2>Training and held-out pairs</h2>" + table(found.gap))
    if found.proxy is not None:
        told.append("<h2>Proxy reward</h2>" + table(found.proxy.summary))
    if found.trained.logged:
        told.append(
            "<h2>Logged in training, and here</h2><p>Rewards were logged at the run's "
            f"own β; here it is {found.settings.beta:g} (--beta).</p>"
            + table(audit_figures.beside(found))
        )
    return told


def _pair(one: Extreme) -> str:
    """A pair: its prompt, and both responses coloured by their tokens' rewards."""
    sides = "".join(_response(*side) for side in one.sides.items())
    return (
        f'<div class="pair"><p><b>line {one.line}, margin {one.margin:+.3f}</b></p>'
        f"<pre>{safe(one.prompt)}</pre>{sides}</div>"
    )


def _response(side: str, words: list[tuple[str, float]]) -> str:
    most = max((abs(value) for _, value in words), default=0.0) or 1.0
    total = sum(value for _, value in words)
    spans = []
    for text, value in words:
        colour = "0,114,178" if value > 0 else "230,120,0"
        shade = f"background:rgba({colour},{0.6 * abs(value) / most:.2f})"
        spans.append(f'<span style="{shade}" title="{value:+.3f}">{safe(text)}</span>')
    head = f"{side}: {total:+.3f} reward units"
    return f'<p>{safe(head)}</p><div class="t">{"".join(spans)}</div>'
