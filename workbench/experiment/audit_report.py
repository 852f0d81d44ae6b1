"""What an audit leaves in its folder: tables, figures, and one page."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.core import outputs
from workbench.core.outputs import Command, Outputs
from workbench.experiment import audit_figures, audit_page, report_page
from workbench.experiment.audit import Audit, Settings, audit
from workbench.experiment.audit_signs import of_audit as signs

TABLES = ("pairs.csv", "summary.csv", "drift.csv", "samples.csv")
ASKED = ("held_out.csv", "gap.csv", "proxy.csv", "proxy_samples.csv", "logged.csv")
FILES = (*TABLES, *ASKED, *report_page.files(audit_figures.NAMES))


def run_command(
    settings: Settings,
    out: str | Path,
    *,
    overwrite: bool = False,
    echo: Callable[[str], None] = print,
) -> tuple[Path, Audit]:
    """Audit, and leave a folder with pairs.csv, the figures and report.html.

    Args:
        settings: what to read.
        out: a folder; one with content is refused, as for training.
        overwrite: delete what an earlier audit made there, and nothing else.
        echo: where sentences for the user go.

    Returns:
        the folder, and what was found.

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
        return folder.folder, found


def write(found: Audit, out: Outputs) -> None:
    """Tables, figures and the page of an audit."""
    for name, frame in tables(found).items():
        out.write(f"{name}.csv", frame.to_csv(index=False))
    drawn = audit_figures.of(found)
    body = audit_page.body(found, drawn)
    report_page.save(out, drawn, audit_page.title(found), body)


def tables(found: Audit) -> dict[str, Any]:
    """The tables by name, those of what was asked for."""
    proxy = found.proxy
    every = {
        "pairs": found.pairs,
        "summary": found.summary,
        "drift": found.drawn.drift,
        "samples": found.drawn.shown,
        "held_out": found.held_out,
        "gap": found.gap,
        "proxy": None if proxy is None else proxy.summary,
        "proxy_samples": None if proxy is None else proxy.samples,
        "logged": found.trained.frame if found.trained.logged else None,
    }
    return {name: frame for name, frame in every.items() if frame is not None}
