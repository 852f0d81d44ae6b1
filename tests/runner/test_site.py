"""The site shows every lesson from the start, and text from data stays text."""

import base64
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat.v4 as v4
import pytest

from workbench.runner import build, page, publish, series, site

FIXTURES = Path(__file__).parent / "fixtures"
SCRIPT = "<script>alert('data')</script>"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 40).decode()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A site of one executed notebook that shows markup from data in every form."""
    root = tmp_path_factory.mktemp("site")
    (root / "notebooks" / "src").mkdir(parents=True)
    text = (FIXTURES / "pass_markup.py").read_text()
    (root / "notebooks" / "src" / "01_markup.py").write_text(text)
    settings = series.Settings(root=root, profile="ci")
    [result] = series.run(series.sources(root), settings)
    assert result.passed, result.failures
    site.build_site(settings)
    return root / "site"


def test_a_script_in_data_is_text_on_the_notebooks_page(built):
    text = (built / "01_markup.html").read_text()
    shown = text[text.index("<body") :]
    assert "&lt;script&gt;alert(" in shown
    assert "<script" not in text


def test_a_script_in_a_claim_is_text_in_the_index(built):
    index = (built / "index.html").read_text()
    assert "<script" not in index
    assert "&lt;script&gt;alert(&#x27;data&#x27;)&lt;/script&gt;" in index
    assert 'href="01_markup.html"' in index
    assert "reproduced" in index


def test_no_page_loads_anything(built):
    for path in built.glob("*.html"):
        text = path.read_text()
        found = re.findall(r"<(?:script|img|link)\b[^>]*(?:src|href)=\"([^\"]+)", text)
        found += re.findall(r"url\([\s'\"]*(\S{5})", text)
        assert [url for url in found if not url.startswith("data:")] == []
        assert "@import" not in text


def html_of(*outputs) -> str:
    cell = v4.new_code_cell("1", execution_count=1, outputs=list(outputs))
    return page.notebook_html(v4.new_notebook(cells=[cell]), "title")


def test_the_picture_of_a_figure_is_in_the_page():
    figure = v4.new_output(
        "display_data",
        data={
            "application/vnd.plotly.v1+json": {"data": [], "layout": {}},
            "image/png": PNG,
            "text/plain": "reward against nats",
        },
        metadata={"image/png": {"alt": "reward against nats"}},
    )
    text = html_of(figure)
    assert f"data:image/png;base64,{PNG}" in text
    assert 'alt="reward against nats"' in text


def test_javascript_and_svg_outputs_run_nothing():
    svg = f"<svg xmlns='http://www.w3.org/2000/svg'>{SCRIPT}</svg>"
    text = html_of(
        v4.new_output("display_data", data={"application/javascript": "steal()"}),
        v4.new_output("display_data", data={"image/svg+xml": svg}),
    )
    assert "steal()" not in text
    assert "<script" not in text
    assert "data:image/svg+xml;base64," in text


def test_an_instrument_is_named_where_it_cannot_move():
    view = v4.new_output(
        "display_data",
        data={publish.WIDGET_VIEW: {"model_id": "0"}, "text/plain": "VBox()"},
    )
    cell = v4.new_code_cell("explore()", execution_count=1, outputs=[view])
    cleaned = publish.clean(v4.new_notebook(cells=[cell]), Path("/nowhere/at/all"))
    assert publish.LIVE_ONLY in page.notebook_html(cleaned, "title")


def test_an_unchanged_page_is_not_rendered_again(built):
    path = built / "01_markup.html"
    before = path.stat().st_mtime_ns
    site.build_site(series.Settings(root=built.parent, profile="ci"))
    assert path.stat().st_mtime_ns == before
    assert build.load(built.parent / "build" / "ci" / "01_markup.ipynb")


def test_formulas_are_drawn_without_a_script():
    text = (
        "$\\beta \\log Z$ and\n\n$$\\begin{aligned} a &= b \\\\ c &= d \\end{aligned}$$"
    )
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell(text)])
    made = page.notebook_html(notebook, "title")
    assert made.count("<math") == 2
    assert made.count("<mtr>") == 2
    assert "<mi>β</mi>" in made
    assert "$" not in made[made.index("<main") :]


# ---- which copy ---------------------------------------------------------------------

PLAIN = (FIXTURES / "pass_plain.py").read_text()
CLAIM = {
    "key": "k",
    "statement": "a statement",
    "verdict": "reproduced",
    "unit": "nats",
}
MACHINE = [
    "/" + "home/somebody/hidden-place/x.py",
    "/" + "root/hidden-place/x.py",
    "/" + "tmp/wb-abc/hidden-place/x.py",
    str(Path.home() / "hidden-place" / "x.py"),
    str(Path(sys.prefix) / "lib" / "hidden-place" / "x.py"),
    str(Path(os.__file__).parent / "hidden-place" / "x.py"),
    str(Path(tempfile.gettempdir()) / "hidden-place" / "x.py"),
]
PATHS = re.compile(r"(?<![\w.])/" + r"(?:root|home/\w+|Users/\w+|tmp|work)/[\w.]")
NO_NOTEBOOK = [
    "{}", "[]", "", "null", '"text"', "{", "<<<<<<< HEAD\n{}\n=======\n",
    '{"cells": 5, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    '{"cells": [5], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    '{"cells": [], "metadata": {"workbench": [1]}, "nbformat": 4, "nbformat_minor": 5}',
    '{"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4}',
    '{"nbformat": 99, "nbformat_minor": 0, "cells": [], "metadata": {}}',
    "[" * 100_000, "\ud800".encode("utf-16", "surrogatepass"),
]  # fmt: skip
NO_RECORD = [
    "{}", "[]", "", "null", "5", '"text"', "{", '{"failures": 5}',
    '{"failures": null}', '{"failures": {"a": 1}}', "[" * 100_000, b"\xff\xfe\x00",
]  # fmt: skip


def put(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def copy_of(source: Path, text: str, *more) -> object:
    """A whole copy of a lesson, with one word in it that tells it from others."""
    notebook = build.read(source).notebook
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    code[-1].outputs = [v4.new_output("stream", name="stdout", text=text), *more]
    return notebook


class Project:
    """Lessons made by hand, so that nothing has to be executed."""

    def __init__(self, root: Path, *names: str):
        self.root, self.settings = root, series.Settings(root=root)
        for name in names:
            put(self.source(name), PLAIN.replace('"Plain"', f'"Lesson {name}"'))

    def source(self, name: str) -> Path:
        return self.root / "notebooks" / "src" / f"{name}.py"

    def committed(self, name: str) -> Path:
        return self.root / "notebooks" / f"{name}.ipynb"

    def executed(self, name: str) -> Path:
        return self.settings.folder / f"{name}.ipynb"

    def record(self, name: str) -> Path:
        return self.settings.folder / ".records" / f"{name}.json"

    def passed(self, name: str, *more, text: str = "EXECUTED") -> None:
        build.write(copy_of(self.source(name), text, *more), self.executed(name))
        put(self.record(name), json.dumps({"failures": [], "seconds": 1.5}))

    def build(self) -> str:
        return site.build_site(self.settings).read_text(encoding="utf-8")

    def page(self, name: str) -> str:
        return (self.root / "site" / f"{name}.html").read_text(encoding="utf-8")


@pytest.fixture
def one(tmp_path) -> Project:
    """A clone with one published lesson, of which nothing was executed."""
    made = Project(tmp_path, "01_a")
    build.write(copy_of(made.source("01_a"), "COMMITTED"), made.committed("01_a"))
    return made


def shows_the_published_copy(project: Project, why: str, name: str = "01_a") -> None:
    index, text = project.build(), project.page(name)
    assert "COMMITTED" in text
    assert "EXECUTED" not in text
    note = f"This is the published copy: {why}"
    for where in (index, text[: text.index("<main")]):
        assert note in where
    assert "Traceback" not in index + text
    assert "secret" not in index + text


def test_every_lesson_has_a_page_before_anything_is_executed(one):
    shows_the_published_copy(one, "not executed here yet.")
    assert 'href="01_a.html"' in (one.root / "site" / "index.html").read_text()


def test_the_copy_executed_here_is_shown_once_it_has_passed(one):
    one.build()
    one.passed("01_a")
    index = one.build()
    assert "EXECUTED" in one.page("01_a")
    assert "COMMITTED" not in one.page("01_a")
    assert "published copy:" not in index + one.page("01_a")
    assert "<td>1.5</td>" in index


@pytest.mark.parametrize(
    ("path", "kind"),
    [(path, kind) for path in MACHINE[:4] for kind in ("error", "stuck")]
    + [(path, "missed claim") for path in MACHINE[4:]],
)
def test_a_failure_is_named_by_its_kind_only(one, kind, path):
    one.passed("01_a")
    failure = {"kind": kind, "message": f"secret {path}", "cell": 1, "detail": path}
    put(one.record("01_a"), json.dumps({"failures": [failure], "seconds": 1.0}))
    shows_the_published_copy(one, f"the execution here failed ({kind}).")
    for file in (one.root / "site").iterdir():
        assert not PATHS.search(file.read_text())
        assert "hidden-place" not in file.read_text()


@pytest.mark.parametrize(
    "failure",
    [5, None, [], {}, {"kind": 5}, {"kind": f"secret {MACHINE[0]}"}, {"message": "x"}],
)
def test_a_failure_of_no_known_kind_gives_nothing_away(one, failure):
    one.passed("01_a")
    put(one.record("01_a"), json.dumps({"failures": [failure]}))
    shows_the_published_copy(one, "the execution here failed (for an unknown reason).")


def test_a_killed_notebook_does_not_hide_the_published_copy(one):
    one.passed("01_a")
    one.record("01_a").unlink()
    shows_the_published_copy(one, "not executed to its end here yet.")


def test_an_incomplete_copy_does_not_hide_the_published_one(one):
    one.passed("01_a")
    half = build.load(one.executed("01_a"))
    half.cells[-1].execution_count = None
    build.write(half, one.executed("01_a"))
    shows_the_published_copy(one, "the copy executed here is incomplete.")


def test_a_copy_of_other_code_does_not_pass_for_this_lesson(one):
    one.passed("01_a")
    put(one.source("01_a"), PLAIN.replace("range(4)", "range(5)"))
    why = "its code has changed since it was executed here; its code differs"
    shows_the_published_copy(one, why)


@pytest.mark.parametrize("content", NO_NOTEBOOK)
def test_a_broken_executed_copy_gives_way_to_the_published_one(one, content):
    one.passed("01_a")
    put(one.executed("01_a"), content)
    shows_the_published_copy(one, "the copy executed here ")


@pytest.mark.parametrize("content", NO_RECORD)
def test_a_broken_record_counts_as_none(one, content):
    one.passed("01_a")
    put(one.record("01_a"), content)
    shows_the_published_copy(one, "the record of its execution here cannot be read.")


@pytest.mark.parametrize("seconds", ["1", "x", [], None, "1e999", 10**400, "NaN"])
def test_seconds_of_any_form_are_borne(one, seconds):
    one.passed("01_a")
    put(one.record("01_a"), json.dumps({"failures": [], "seconds": seconds}))
    one.build()
    assert "EXECUTED" in one.page("01_a")


@pytest.mark.parametrize("content", [*NO_NOTEBOOK, None])
def test_without_any_outputs_the_page_says_so(one, content):
    one.committed("01_a").unlink()
    if content is not None:
        put(one.committed("01_a"), content)
    index = one.build()
    assert "There are no outputs to show: not executed here yet" in index
    assert "There are no outputs to show" in one.page("01_a")
    assert "the published copy" in one.page("01_a")
    one.passed("01_a")
    one.build()
    assert "EXECUTED" in one.page("01_a")


@pytest.mark.parametrize("text", ["", "x = (", "# %%\n1\n", "# ---\n# a: [\n# ---\n"])
def test_a_broken_source_costs_neither_its_copies_nor_other_lessons(tmp_path, text):
    made = Project(tmp_path, "01_a", "02_b")
    build.write(copy_of(made.source("01_a"), "COMMITTED"), made.committed("01_a"))
    made.passed("02_b")
    put(made.source("01_a"), text)
    shows_the_published_copy(made, "")
    assert "EXECUTED" in made.page("02_b")


def test_a_copy_that_cannot_be_rendered_gives_way_to_the_next(one, monkeypatch):
    one.passed("01_a")
    render = page.notebook_html

    def fragile(notebook, *rest):
        assert "EXECUTED" not in json.dumps(notebook)
        return render(notebook, *rest)

    monkeypatch.setattr(page, "notebook_html", fragile)
    shows_the_published_copy(one, "the copy executed here cannot be shown.")


# ---- nothing of this machine --------------------------------------------------------


@pytest.mark.parametrize("path", MACHINE)
def test_no_page_names_a_folder_of_this_machine(tmp_path, path):
    made = Project(tmp_path, "01_a")
    places = [path, str(tmp_path / "hidden-place" / "x.py")]
    put(made.source("01_a"), made.source("01_a").read_text() + f"\n# at {path}\n")
    every = [
        v4.new_output("display_data", data={mime: f"<p>{place}</p>"})
        for mime in ("text/html", "text/markdown", "text/latex", "text/plain")
        for place in places
    ]
    claim = CLAIM | {"statement": " ".join(places), "paper": path, "mean": path}
    every += [
        v4.new_output("error", ename="E", evalue=path, traceback=[f"\x1b[1m{path}"]),
        v4.new_output("stream", name="stdout", text=f"at {path}:1"),
        v4.new_output(
            "display_data", data={"application/vnd.workbench.claim+json": claim}
        ),
    ]
    made.passed("01_a", *every)
    index = made.build()
    assert "a statement" not in index
    assert "x.py" in index
    assert made.page("01_a").count("x.py") >= 9
    for text in (index, made.page("01_a")):
        assert str(tmp_path) not in text
        assert not PATHS.search(text)
        assert f"{path[:-5]}" not in text


# ---- written whole, or not ----------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("no space left")])
@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_a_reader_never_meets_half_a_page(one, monkeypatch, step, error):
    one.build()
    before = {path.name: path.read_bytes() for path in (one.root / "site").iterdir()}
    one.passed("01_a")
    done = getattr(Path, step)

    def half(path, *rest, **how):
        if path.parent != one.root / "site":
            return done(path, *rest, **how)
        if step == "write_text":
            done(path, rest[0][:100], **how)
        raise error

    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, OSError)):
        patch.setattr(Path, step, half)
        one.build()
    after = {path.name: path.read_bytes() for path in (one.root / "site").iterdir()}
    assert after == before
    one.build()
    assert "EXECUTED" in one.page("01_a")


def test_what_a_killed_build_left_is_swept_and_no_more(one):
    here = one.root / "site"
    here.mkdir()
    dead, alive = 2**22 + 1, os.getpid()
    for name in (
        f".01_a.html.{dead}.partial",
        f".01_a.html.{alive}.partial",
        ".partial",
    ):
        (here / name).write_text("half")
    one.build()
    assert not (here / f".01_a.html.{dead}.partial").exists()
    assert (here / ".partial").read_text() == "half"


def test_pages_of_lessons_that_are_gone_go_and_other_files_stay(tmp_path):
    made = Project(tmp_path, "01_a", "02_b")
    made.build()
    (tmp_path / "site" / "mine.html").write_text("<p>mine</p>")
    (tmp_path / "site" / "notes.txt").write_text("mine")
    made.source("02_b").unlink()
    made.build()
    found = {path.name for path in (tmp_path / "site").iterdir()}
    assert found == {"index.html", "01_a.html", "mine.html", "notes.txt"}


def test_a_second_build_renders_only_what_changed(tmp_path, monkeypatch):
    made = Project(tmp_path, "01_a", "02_b", "03_c")
    for name in ("01_a", "02_b", "03_c"):
        build.write(copy_of(made.source(name), "COMMITTED"), made.committed(name))
    first = made.build()
    rendered, render = [], page.notebook_html

    def counted(notebook, title, *rest):
        rendered.append(title)
        return render(notebook, title, *rest)

    monkeypatch.setattr(page, "notebook_html", counted)
    assert made.build() == first
    assert rendered == []
    made.passed("02_b")
    made.build()
    assert rendered == ["Lesson 02_b"]
    put(made.record("02_b"), "{}")
    made.build()
    assert rendered == ["Lesson 02_b", "Lesson 02_b"]


# ---- links and claims ---------------------------------------------------------------


def test_each_page_links_to_the_index_and_its_neighbours(tmp_path):
    names = ["01_a", "02_b", "22a_bco"]
    made = Project(tmp_path, *names)
    made.build()
    for at, name in enumerate(names):
        links = set(re.findall(r'<a href="([^"]+)"', made.page(name)))
        around = {names[i] for i in (at - 1, at + 1) if 0 <= i < len(names)}
        assert links == {"index.html"} | {f"{other}.html" for other in around}
        assert all((tmp_path / "site" / link).exists() for link in links)


@pytest.mark.parametrize("key", ["mean", "low", "high"])
@pytest.mark.parametrize(
    "value", ["about 3", "", None, [], [1], {}, {"a": 1}, True, "nan", 10**400, "<b>"]
)
def test_a_claim_whose_number_is_none_does_not_cost_the_index(one, key, value):
    claim = CLAIM | {"mean": 1.0, "low": 0.5, "high": 1.5, "seeds": 3} | {key: value}
    mime = "application/vnd.workbench.claim+json"
    one.passed("01_a", v4.new_output("display_data", data={mime: claim}))
    index = one.build()
    assert "a statement" in index
    assert "3 seeds" in index
    assert "<b></td>" not in index


@pytest.mark.parametrize(
    "claim", [[], ["a"], "text", 5, None, {}, {"key": []}, {"key": {"a": []}}]
)
def test_a_claim_of_any_form_is_borne(one, claim):
    mime = "application/vnd.workbench.claim+json"
    outputs = [
        v4.new_output("display_data", data={mime: value}) for value in (claim, CLAIM)
    ]
    one.passed("01_a", *outputs)
    assert "a statement" in one.build()
    assert "EXECUTED" in one.page("01_a")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"", b"key\0\n", b"key\n" + b"a,b,c\n"]
)
def test_a_broken_table_of_claims_does_not_cost_the_index(tmp_path, content):
    made = Project(tmp_path, "01_a")
    put(tmp_path / "data" / "results" / "01_a" / "claims.csv", content)
    assert "Lesson 01_a" in made.build()


def test_claims_of_a_lesson_without_a_copy_come_from_their_table(tmp_path):
    made = Project(tmp_path, "01_a")
    table = "key,statement,mean,low,high\nk,a statement,x,y,z\n"
    put(tmp_path / "data" / "results" / "01_a" / "claims.csv", table)
    assert "a statement" in made.build()


def test_a_solution_is_folded_on_the_page_and_in_jupyterlab(tmp_path):
    """A reader opens it after an attempt; the other cells stand open."""
    source = tmp_path / "notebooks" / "src" / "01_a.py"
    source.parent.mkdir(parents=True)
    head = (FIXTURES / "pass_markup.py").read_text().split("# %% ", 1)[0]
    source.write_text(
        head + '# %% [markdown]\n# # A\n\n# %% tags=["parameters"]\nPROFILE = "ci"\n\n'
        '# %%\nopen_cell = 1\n\n# %% tags=["solution"]\nfolded_cell = 2\n'
        '\n# %% [markdown] tags=["solution"]\n# folded words\n'
    )
    notebook = build.read(source).notebook
    hidden = [
        c.metadata.get("jupyter", {}).get("source_hidden") for c in notebook.cells
    ]
    assert hidden == [None, None, None, True, True]
    shown = page.notebook_html(notebook, "A")
    folds = re.findall(r"<details class=\"wb-solution\">.*?</details>", shown, re.S)
    assert ["folded_cell" in folds[0], "folded words" in folds[1]] == [True, True]
    assert not any("open_cell" in fold for fold in folds) and len(folds) == 2


def test_the_glossary_has_a_page_and_lessons_link_to_it(one):
    (one.root / "GLOSSARY.md").write_text("# Glossary\n\n| nat | a unit |\n|---|---|\n")
    site.build_site(one.settings)
    folder = one.root / "site"
    assert "a unit" in (folder / "glossary.html").read_text()
    assert 'href="glossary.html"' in (folder / "01_a.html").read_text()


def test_a_link_to_another_lesson_leads_to_its_page_and_no_other_link_changes(one):
    kept = "[data](20_pairs.csv) [theirs](https://a.invalid/21_b.ipynb)"
    words = f"[21](21_b.ipynb) [20](20_a.ipynb#hand) [21a](21a_c.ipynb) {kept}"
    put(one.source("01_a"), PLAIN.replace("# # Plain", f"# # Plain\n#\n# {words}"))
    build.write(copy_of(one.source("01_a"), "COMMITTED"), one.committed("01_a"))
    one.build()
    links = re.findall(
        r'href="([^"]+)"[^>]*>(?:21|20|21a|data|theirs)<', one.page("01_a")
    )
    assert links[:3] == ["21_b.html", "20_a.html#hand", "21a_c.html"]
    assert links[3:] == ["20_pairs.csv", "https://a.invalid/21_b.ipynb"]
