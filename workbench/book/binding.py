"""Prepare the book's sources, let Sphinx make the pages, put them into `site/`.

What is unchanged is left alone: a source is written only if its text differs, Sphinx
renders what is older than its source, and a page of `site/` is replaced, as a whole,
only by a different one. So it may be called at any moment, and a reader finds each
page whole, the old one or the new one.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from workbench.book import front, hanging, lookups, manual, method_chapters, papers
from workbench.book.chapters import Chapter, chapter, written
from workbench.catalogue import Entry, cards
from workbench.core.claimed import claimed
from workbench.core.errors import WorkbenchError
from workbench.runner import safe
from workbench.runner.copies import lesson
from workbench.runner.job import Settings
from workbench.runner.publish import clean, path_cleaner
from workbench.runner.series import sources

ROOM = Path(__file__).parent
STATIC = ROOM.parent / "views" / "static"  # what pages share with notebooks
MAKERS = ("sphinx", "myst-nb", "sphinx-book-theme", "sphinx-design")


class BookError(WorkbenchError, RuntimeError):
    """The book cannot be built; the message is one sentence."""


def build_book(
    settings: Settings,
    site: Path | None = None,
    work: Path | None = None,
    methods: Mapping[str, Entry] | None = None,
    rooms: Mapping[str, str] | None = None,
) -> Path:
    """Build the book, or what has changed of it.

    Args:
        settings: the profile whose executed copies are shown where they passed.
        site: folder to write; default `root/site`.
        work: where what Sphinx reads and makes is kept; default `root/build/book`.
        methods: those with a page; all unless told.
        rooms: of the library, those with a page; all unless told.

    Returns:
        The landing page.

    Raises:
        BookError: Sphinx is missing or failed; `site` is as it was.
        BadRun: another process is building it.
    """
    made_of = _versions()
    site = site or settings.root / "site"
    folder = work or settings.root / "build" / "book" / settings.profile
    with claimed(folder):
        prepare(settings, folder, methods, rooms)
        key = _key(folder, made_of)
        if not _is_built(folder, site, key):
            press(folder, key)
            hanging.hang([folder / "html", folder / "assets"], site)
            (folder / "built").write_text(key, encoding="utf-8")
    return site / "index.html"


def prepare(
    settings: Settings,
    folder: Path,
    methods: Mapping[str, Entry] | None = None,
    rooms: Mapping[str, str] | None = None,
) -> list[Chapter]:
    """Write what Sphinx reads below `folder/source`, and files beside the pages.

    Args:
        settings: the profile whose executed copies are shown where they passed.
        folder: where the book is built.
        methods: those with a page; all unless told.
        rooms: of the library, those with a page; all unless told.

    Returns:
        The chapters, in the order of the series.
    """
    chapters = [chapter(lesson(p), settings) for p in sources(settings.root)]
    assets, tables = _assets(chapters, settings)
    entries = cards() if methods is None else methods
    titles = papers.titles(settings.root)
    texts = _texts(chapters, entries, rooms, tables, titles, settings)
    cited = papers.distinct(lookups.cited(entries, chapters))
    assets[papers.FILE] = papers.library(cited, titles).encode("utf-8", "replace")
    shown = {f"{c.name}.ipynb": written(c.notebook) for c in chapters if c.notebook}
    strip = path_cleaner(settings.root)
    texts = {name: strip(text) for name, text in texts.items()} | shown
    sheets = {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    hanging.fill(folder / "source", sheets)
    hanging.fill(folder / "assets", assets)
    return chapters


def _texts(chapters, entries, rooms, tables, titles, settings) -> dict[str, str]:
    """The pages around the chapters, as Markdown."""
    shelved = front.shelves(chapters, settings)
    words = settings.root / "GLOSSARY.md"
    text = words.read_text(encoding="utf-8") if words.is_file() else "# Glossary\n"
    return {
        "index.md": front.landing(shelved, chapters, len(entries), settings),
        "studies.md": front.studies(shelved, settings),
        "gallery.md": lookups.gallery(chapters, tables),
        "claims.md": lookups.by_paper(chapters),
        "bibliography.md": lookups.bibliography(entries, chapters, titles),
        "glossary.md": lookups.glossary(text),
        **method_chapters.pages(entries, chapters, titles),
        **manual.pages(rooms),
    }


def _assets(
    chapters: list[Chapter], settings: Settings
) -> tuple[dict[str, bytes], dict[str, list[str]]]:
    """Files beside the pages, and which of them are a chapter's tables."""
    found, tables = {}, {}
    for one in chapters:
        found |= one.files
        folder = settings.root / "data" / "results" / one.name
        for path in sorted(folder.glob("*.csv")):
            address = f"{lookups.RESULTS}/{one.name}/{path.name}"
            found[address] = path.read_bytes()
            tables.setdefault(one.name, []).append(address)
    found["_static/plotly.min.js"] = (
        files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    )
    return found, tables


def press(folder: Path, key: str) -> None:
    """Let Sphinx render what is older than its source.

    Args:
        folder: with `source/`; `html/` and `doctrees/` are written.
        key: of our own code; another one renders everything.

    Raises:
        BookError: it failed.
    """
    path = os.pathsep.join([str(ROOM.parent.parent), os.environ.get("PYTHONPATH", "")])
    told = {"PYTHONPATH": path.rstrip(os.pathsep), "OMP_NUM_THREADS": "1"}
    code = key.partition("-")[0]
    environment = os.environ | told | {"WORKBENCH_BOOK_CODE": code}
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "--no-color"]
    command += ["-j", "2", "-c", str(ROOM), "-d", str(folder / "doctrees")]
    command += [str(folder / "source"), str(folder / "html")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    (folder / "sphinx.log").write_text(done.stderr, encoding="utf-8")
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        last = said[-1].strip() if said else "it said nothing"
        raise BookError(f"the book was not built, the pages are as they were: {last}")
    _remove_stale_pages(folder)


def _remove_stale_pages(folder: Path) -> None:
    """Pages whose source is gone: Sphinx leaves them."""
    made, read = folder / "html", folder / "source"
    names = {p.relative_to(read).with_suffix("") for p in read.rglob("*.*")}
    names.add(Path("search"))
    for path in made.rglob("*.html"):
        if path.relative_to(made).with_suffix("") not in names:
            path.unlink()


def _versions() -> str:
    """What makes the pages, with versions."""
    try:
        return ", ".join(f"{name} {version(name)}" for name in MAKERS)
    except PackageNotFoundError as error:
        raise BookError(
            f"the book needs {error.name}, which is not installed: `make env` does it"
        ) from None


def _key(folder: Path, made_of: str) -> str:
    """What the pages depend on: our code, and everything that was prepared."""
    code = hashlib.sha256(made_of.encode())
    own = [Path(safe.__file__), Path(clean.__code__.co_filename)]
    for path in sorted(
        [*ROOM.rglob("*.py"), *ROOM.glob("static/*"), *STATIC.glob("*"), *own]
    ):
        code.update(path.read_bytes())
    whole = hashlib.sha256()
    for part in ("source", "assets"):
        for path in sorted((folder / part).rglob("*")):
            if path.is_file():
                whole.update(path.relative_to(folder).as_posix().encode())
                whole.update(path.read_bytes())
    return f"{code.hexdigest()[:16]}-{whole.hexdigest()[:16]}"


def _is_built(folder: Path, site: Path, key: str) -> bool:
    """Whether the site shows exactly this already."""
    try:
        same = (folder / "built").read_text(encoding="utf-8") == key
    except OSError:
        return False
    names = hanging.ours(site)
    return same and bool(names) and all((site / name).is_file() for name in names)
