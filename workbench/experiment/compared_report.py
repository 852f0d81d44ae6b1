"""What ``workbench compare-runs`` leaves in its folder: tables, figures, one page."""

from collections.abc import Sequence
from pathlib import Path

from workbench.core import outputs
from workbench.core.outputs import Command
from workbench.experiment import compared_runs, report_page
from workbench.experiment.compared_runs import OneRun
from workbench.views.chart import Chart, Panels
from workbench.views.fig import Fig
from workbench.views.layers import Layer, Line, Points
from workbench.views.style import looks, role

FIGURES = ("pairs", "drift", "curves")
FILES = ("runs.csv", "curves.csv", *report_page.files(FIGURES))
NOTE = "error bars: 95 % intervals"
# a training names its curves as its measures, other programs as TRL does
CURVES = {
    "accuracy": ("accuracy", "eval_rewards/accuracies", "rewards/accuracies"),
    "margin": ("margin", "eval_rewards/margins", "rewards/margins"),
}


def command_of(folders: Sequence[str | Path]) -> Command:
    """What identifies a comparison."""
    card = {"runs": [str(folder) for folder in folders]}
    return Command("compare-runs", card, "a comparison of runs", FILES)


def write(
    runs: Sequence[OneRun], command: Command, out: str | Path, again: bool
) -> Path:
    """Tables, figures and the page.

    Args:
        runs: what is compared.
        command: of ``command_of``.
        out: a folder; one with content is refused.
        again: replace what an earlier comparison made there.

    Returns:
        the folder.

    Raises:
        BadRun: the folder cannot be used.
    """
    drawn = figures(runs)
    with outputs.opened(out, command, overwrite=again) as folder:
        folder.write("runs.csv", compared_runs.long_table(runs).to_csv(index=False))
        if len(curves := compared_runs.curves(runs)):
            folder.write("curves.csv", curves.to_csv(index=False))
        title = f"{len(runs)} runs side by side"
        report_page.save(folder, drawn, title, _body(title, runs, drawn))
        return folder.folder


def _body(title: str, runs: Sequence[OneRun], drawn: dict[str, Fig]) -> str:
    """The whole report, as HTML."""
    return (
        report_page.heading(title)
        + report_page.notes(compared_runs.notes(runs))
        + report_page.table(compared_runs.wide_table(runs))
        + report_page.figures(drawn)
    )


def figures(runs: Sequence[OneRun]) -> dict[str, Fig]:
    """By name, those of ``FIGURES`` for which there are data."""
    long = compared_runs.long_table(runs)
    made = {}
    for name, measures in {
        "pairs": ("accuracy", "margin"),
        "drift": ("drift", "sampled length after"),
    }.items():
        charts = [_points(runs, long, measure) for measure in measures]
        if charts := [chart for chart in charts if chart is not None]:
            rows = long[long["measure"].isin(measures)]
            made[name] = Fig(Panels(charts), _highest(rows, measures[0]), rows)
    charts = [_lines(runs, title, names) for title, names in CURVES.items()]
    if charts := [chart for chart in charts if chart is not None]:
        count = sum(bool(one.curves) for one in runs)
        caption = f"Lines are what was logged in training: {count} of {len(runs)} runs."
        made["curves"] = Fig(Panels(charts), caption, compared_runs.curves(runs))
    return made


def _highest(rows, measure: str) -> str:
    """A caption: which run has most of a measure."""
    some = rows[rows["measure"] == measure].dropna(subset="value")
    if some.empty:
        return f"No run has a number for {measure}."
    most = some.loc[some["value"].idxmax()]
    return (
        f"Of these runs {most['run']} has the highest {measure}: {most['value']:.3g}."
    )


def _points(runs: Sequence[OneRun], long, measure: str) -> Chart | None:
    """A point per run."""
    rows = long[long["measure"] == measure].drop_duplicates("run").set_index("run")
    some = rows.dropna(subset="value")
    if some.empty:
        return None
    names = [one.name for one in runs]
    at = [names.index(name) for name in some.index]
    ends = [some[end].fillna(some["value"]).tolist() for end in ("low", "high")]
    points = Points(at, some["value"].tolist(), "", role("policy"), *ends)
    unit = compared_runs.UNITS[measure]
    label = f"{measure} ({unit})" if unit else measure
    title = measure[0].upper() + measure[1:]
    return Chart(title, "", label, [points], note=NOTE, x_names=names)


def _lines(runs: Sequence[OneRun], title: str, names: Sequence[str]) -> Chart | None:
    """A line per run: the first of several names that it has."""
    style = looks([one.name for one in runs])
    layers: list[Layer] = []
    for one in runs:
        curve = next((one.curves[name] for name in names if name in one.curves), None)
        if curve:
            steps, values = zip(*curve, strict=True)
            layers.append(Line(steps, values, one.name, style[one.name]))
    unit = compared_runs.UNITS[title]
    head = f"{title[0].upper()}{title[1:]} in training"
    return Chart(head, "step", f"{title} ({unit})", layers) if layers else None
