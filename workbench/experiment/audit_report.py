"""What an audit leaves in its folder: tables, figures, and one page of text."""

import html
import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import torch

from workbench.core import outputs
from workbench.core.outputs import Command, Outputs
from workbench.experiment.audit import Audit, Settings, audit
from workbench.experiment.run_figures import legible
from workbench.measure import calibration
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import HLine, Line, Points, VLine
from workbench.views.reliability_diagram import reliability
from workbench.views.style import role

TABLES = ("pairs.csv", "summary.csv", "drift.csv", "samples.csv")
FIGURES = ("rewards", "reliability", "drift")
FILES = (
    *TABLES,
    *(f"{n}.{k}" for n in FIGURES for k in ("png", "json")),
    "report.html",
)
PROMPT = 300  # characters of a prompt on the page
STYLE = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;"
    "text-align:left;vertical-align:top}pre{white-space:pre-wrap;margin:0}"
    "img{max-width:100%}.t{white-space:pre-wrap;line-height:1.9}"
)


def run_command(
    settings: Settings,
    out: str | Path,
    *,
    overwrite: bool = False,
    echo: Callable[[str], None] = print,
) -> Path:
    """Audit, and leave a folder with pairs.csv, the figures and report.html.

    Args:
        settings: what to read.
        out: a folder; one with content is refused, as for training.
        overwrite: delete what an earlier audit made there, and nothing else.
        echo: where sentences for the user go.

    Returns:
        the folder.

    Raises:
        WorkbenchError: anything the user can mend, with what and where.
    """
    command = Command("audit", settings.card(), "an audit", FILES)
    outputs.check(out, command, overwrite=overwrite)
    found = audit(settings, echo)
    with outputs.opened(out, command, overwrite=overwrite) as folder:
        write(found, folder)
        for line in signs(found):
            echo(line)
        echo(f"written to {folder.folder}")
        return folder.folder


def write(found: Audit, out: Outputs) -> None:
    """Tables, figures and the page of an audit."""
    frames = (found.pairs, found.summary, found.drift, found.samples)
    for name, frame in zip(TABLES, frames, strict=True):
        out.write(name, frame.to_csv(index=False))
    drawn = dict(zip(FIGURES, figures(found), strict=True))
    for name, figure in drawn.items():
        figure.save(out.path(f"{name}.png"))
        out.write(f"{name}.json", json.dumps(figure.plotly, sort_keys=True) + "\n")
    text = page(found, list(drawn.values()))
    out.write("report.html", text.encode("utf-8", "xmlcharrefreplace").decode())


def signs(found: Audit) -> list[str]:
    """Sentences on what training did, each with its number and interval.

    There is no gold reward here: they say what often goes with overoptimisation, and
    decide nothing.
    """
    rows = {row.measure: row for row in found.summary.itertuples()}
    accuracy, equal = rows["accuracy"], rows["accuracy, equal lengths"]
    before, after = found.lengths
    kl = found.drift.set_index("estimator")
    main = kl.loc["rao-blackwell"] if "rao-blackwell" in kl.index else kl.loc["k1"]
    least = "at least " if found.cut else ""
    rank = rows["rank correlation of margin and length difference"].value
    told = [
        f"accuracy {_ranged(accuracy)} over {accuracy.n} pairs; {_ranged(equal)} over "
        f"{equal.n} pairs of equal length",
        f"the chosen response lost probability in {rows['chosen fell'].value:.0%} of "
        f"the pairs, both sides in {rows['both fell'].value:.0%}",
        f"drift {least}{main['mean']:.3g} nats per sequence "
        f"[{main['low']:.3g}, {main['high']:.3g}]; {found.cut:.0%} of the samples were "
        f"cut at {found.settings.max_new} tokens",
        f"sampled length {before:.1f} tokens before, {after:.1f} after",
    ]
    if rank == rank:
        told.append(f"margin and length difference: rank correlation {rank:+.2f}")
    beta = rows["β implied by the labels"].value
    told.append(
        f"the labels are most likely at β = {beta:.3g}; margins are stated at "
        f"{found.settings.beta:g}"
    )
    return told


def _ranged(row) -> str:
    if row.value != row.value:
        return "unknown"
    if row.low != row.low:
        return f"{row.value:.2f}"
    return f"{row.value:.2f} [{max(0, row.low):.2f}, {min(1, row.high):.2f}]"


def figures(found: Audit) -> list[Fig]:
    """Rewards of each pair, reliability, drift."""
    frame, kl = found.pairs, found.drift
    margin = torch.tensor(frame["margin"].tolist())
    chance = margin.sigmoid()
    table = calibration.reliability(chance, torch.ones_like(chance))
    error = calibration.ece(chance, torch.ones_like(chance))
    names = kl["estimator"].tolist()
    said = signs(found)
    drifted = Chart(
        "Drift by four estimators", "", "KL (nats per sequence)",
        [Points(range(len(names)), kl["mean"].tolist(), "after training",
                role("policy"), kl["low"].tolist(), kl["high"].tolist()),
         HLine(0)],
        note="error bars: 95 % intervals over prompts", x_names=names,
    )  # fmt: skip
    return [
        Fig(_rewards(frame), f"{said[0]}; {said[1]}.", frame.drop(columns="prompt")),
        reliability(
            table,
            caption=f"Stated and observed preference differ by {error:.3f} on average "
            f"({len(frame)} pairs in both orders).",
        ),
        Fig(Panels([drifted]), f"{said[2]}.", kl),
    ]


def _rewards(frame) -> Panels:
    """Chosen against rejected, and margin against length, a point per pair."""
    hover = [f"line {line}" for line in frame["line"]]
    values = [*frame["chosen"], *frame["rejected"]]
    ends = [min(values), max(values)]
    longer = (frame["chosen_tokens"] - frame["rejected_tokens"]).tolist()
    return Panels(
        [
            Chart(
                "Rewards of each pair", "rejected (reward units)",
                "chosen (reward units)",
                [Points(frame["rejected"].tolist(), frame["chosen"].tolist(), "a pair",
                        role("policy"), hover=hover, size=5, faint=True),
                 Line(ends, ends, "margin 0", role("guide")), HLine(0), VLine(0)],
            ),
            Chart(
                "Margin and length", "chosen longer by (tokens)",
                "margin (reward units)",
                [Points(longer, frame["margin"].tolist(), "a pair", role("policy"),
                        hover=hover, size=5, faint=True), HLine(0)],
            ),
        ]
    )  # fmt: skip


def page(found: Audit, drawn: list[Fig]) -> str:
    """The whole report; every text of a file or a model is escaped."""
    settings = found.settings
    title = f"Audit of {Path(settings.policy).name} on {Path(settings.pairs).name}"
    notes = "".join(f"<li>{_safe(line)}</li>" for line in (*signs(found), *found.notes))
    parts = [
        f"<h1>{_safe(title)}</h1><p>Reference: {_safe(Path(settings.reference).name)}; "
        f"β = {settings.beta:g} reward units per nat.</p><ul>{notes}</ul>",
        "<h2>Summary</h2>" + _table(found.summary),
        *map(_figure, drawn),
        "<h2>Where margins come from</h2><p>The pairs with the lowest and the highest "
        "margins. A blue token raises the reward of its response, an orange one lowers "
        "it.</p>",
        *(_tokens(*one) for one in found.tokens),
        "<h2>Samples before and after</h2>" + _table(found.samples),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_safe(title)}'
        f"</title><style>{STYLE}</style>{''.join(parts)}</html>\n"
    )


def _safe(value: object) -> str:
    return html.escape(legible(str(value)))


def _figure(figure: Fig) -> str:
    picture = b64encode(figure.png).decode()
    alt = html.escape(figure.alt, quote=True)
    return (
        f'<figure><img alt="{alt}" src="data:image/png;base64,{picture}">'
        f"{figure.html_below}</figure>"
    )


def _table(frame) -> str:
    heads = "".join(f"<th>{_safe(name)}</th>" for name in frame.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>"
        for row in frame.itertuples(index=False)
    )
    return f"<table><tr>{heads}</tr>{rows}</table>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3g}"
    text = str(value)
    short = text if len(text) <= PROMPT else f"{text[:PROMPT]} …"
    return f"<pre>{_safe(short)}</pre>" if isinstance(value, str) else _safe(text)


def _tokens(line: int, side: str, words: list[tuple[str, float]]) -> str:
    """A response whose tokens are coloured by their rewards."""
    most = max((abs(value) for _, value in words), default=0.0) or 1.0
    total = sum(value for _, value in words)
    spans = []
    for text, value in words:
        colour = "0,114,178" if value > 0 else "230,120,0"
        shade = f"background:rgba({colour},{0.6 * abs(value) / most:.2f})"
        spans.append(f'<span style="{shade}" title="{value:+.3f}">{_safe(text)}</span>')
    head = f"line {line}, {side}: {total:+.3f} reward units"
    return f'<p><b>{_safe(head)}</b></p><div class="t">{"".join(spans)}</div>'
