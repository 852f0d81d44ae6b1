"""Publishing is all or nothing, and says nothing of the machine it was done on."""

import base64
import html
import json
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import nbformat.v4 as v4
import pytest

from workbench.runner import build, job, publish, series

ROOT = Path(__file__).parents[2]
PLAIN = (Path(__file__).parent / "fixtures" / "pass_plain.py").read_text()
NAME = "01_plain"


class Project:
    """A clone with one lesson, whose executed copy is made by hand."""

    def __init__(self, root: Path):
        self.root, self.settings = root, job.Settings(root=root)
        self.source = root / "notebooks" / "src" / f"{NAME}.py"
        self.source.parent.mkdir(parents=True)
        self.source.write_text(PLAIN)
        self.out = self.settings.folder / NAME
        self.results = root / "data" / "results" / NAME

    def execute(self, text: str = "total 6", **tables: str) -> job.Result:
        notebook = build.read(self.source).notebook
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for count, cell in enumerate(code, start=1):
            cell.execution_count = count
        code[-1].outputs = [v4.new_output("stream", name="stdout", text=text)]
        path = self.settings.folder / f"{NAME}.ipynb"
        build.write(notebook, path)
        self.out.mkdir(parents=True, exist_ok=True)
        for old in self.out.iterdir():
            old.unlink()
        for name, text in tables.items():
            (self.out / f"{name}.csv").write_text(text)
        return job.Result(NAME, "lecture", path, (), 1.0, ())

    def publish(self, result: job.Result) -> Path:
        return publish.publish(result, self.settings)

    def published(self) -> dict[str, bytes]:
        places = (self.results, self.root / "notebooks")
        files = (path for place in places for path in place.rglob("*"))
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    def tables(self) -> dict[str, str]:
        return {path.stem: path.read_text() for path in self.results.glob("*.csv")}


@pytest.fixture
def clone(tmp_path) -> Project:
    """A clone whose lesson is published with two tables."""
    made = Project(tmp_path)
    made.publish(made.execute(claims="1\n", metrics="2\n"))
    return made


# ---- instruments --------------------------------------------------------------------


def with_states(project: Project, *found: dict) -> job.Result:
    """An execution whose last cell showed instruments with these states."""
    result = project.execute(claims="1\n")
    notebook = build.load(result.executed)
    notebook.cells[-1].outputs = [
        v4.new_output("display_data", data={publish.STATES: states, "text/plain": "x"})
        for states in found
    ]
    build.write(notebook, result.executed)
    return result


def test_states_of_instruments_go_into_files_that_the_notebook_names(tmp_path):
    project = Project(tmp_path)
    big = {"base": {"data": ["Größe"] * 100_000}}
    target = project.publish(with_states(project, {"name": "β"}, big))
    files = {p.name: p.read_text() for p in project.results.glob("instrument-*")}
    assert {name: json.loads(text) for name, text in files.items()} == {
        "instrument-1.json": {"name": "β"},
        "instrument-2.json": big,
    }
    outputs = build.load(target).cells[-1].outputs
    assert [output.data[publish.STATES] for output in outputs] == [
        {"file": "instrument-1.json"},
        {"file": "instrument-2.json"},
    ]


def test_the_file_of_an_instrument_that_is_gone_goes(tmp_path):
    project = Project(tmp_path)
    project.publish(with_states(project, {"name": "a"}, {"name": "b"}))
    project.publish(with_states(project, {"name": "c"}))
    [left] = project.results.glob("instrument-*")
    assert json.loads(left.read_text()) == {"name": "c"}


def test_the_runner_knows_the_states_by_the_name_that_views_give_them():
    from workbench.views.instruments.states import STATES

    assert publish.STATES == STATES


# ---- all or nothing -----------------------------------------------------------------


def test_tables_and_notebook_are_replaced_together(clone):
    clone.publish(clone.execute("total 7", claims="3\n", metrics="4\n", more="5\n"))
    assert clone.tables() == {"claims": "3\n", "metrics": "4\n", "more": "5\n"}
    assert "total 7" in (clone.root / "notebooks" / f"{NAME}.ipynb").read_text()
    assert not [name for name in clone.published() if "partial" in name]


def test_a_table_that_new_code_no_longer_writes_goes(clone):
    clone.source.write_text(PLAIN.replace("range(4)", "range(5)"))
    clone.publish(clone.execute(claims="3\n"))
    assert clone.tables() == {"claims": "3\n"}


@pytest.mark.parametrize("left", [{}, {"claims": "1\n"}, {"metrics": "9\n"}])
def test_tables_that_this_code_wrote_are_not_lost(clone, left):
    before = clone.published()
    with pytest.raises(publish.PublishError, match="OUT has lost"):
        clone.publish(clone.execute("total 7", **left))
    assert clone.published() == before


@pytest.mark.parametrize("run", ["{}", "[]", "", "{", None, '{"stamp": "another"}'])
@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_folder_of_outputs_never_deletes_tables(clone, run, exists):
    path = clone.results / "run.json"
    path.unlink() if run is None else path.write_text(run)
    before = clone.published()
    result = clone.execute("total 7")
    if not exists:
        clone.out.rmdir()
    with pytest.raises(publish.PublishError, match=r"claims\.csv, metrics\.csv"):
        clone.publish(result)
    assert clone.published() == before


def test_a_lesson_without_tables_is_published(tmp_path):
    made = Project(tmp_path)
    for text in ("total 6", "total 7"):
        made.publish(made.execute(text))
    assert made.tables() == {}


@pytest.mark.parametrize("file", ["claims.csv", "metrics.csv", "run.json", "notebook"])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
def test_a_file_that_cannot_be_written_changes_nothing(clone, monkeypatch, file, error):
    before = clone.published()
    result = clone.execute("total 7", claims="3\n", metrics="4\n")
    write = Path.write_bytes

    def full(path, data):
        write(path, data[:1])
        if file in path.name:
            raise error

    def refuse(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        if file == "notebook":
            patch.setattr(build, "write", refuse)
        with pytest.raises((OSError, KeyboardInterrupt)):
            clone.publish(result)
    assert clone.published() == before
    clone.publish(result)
    assert clone.tables() == {"claims": "3\n", "metrics": "4\n"}


@pytest.mark.parametrize("at", range(4))
def test_a_kill_between_two_moves_loses_no_table(clone, monkeypatch, at):
    result = clone.execute("total 7", claims="3\n", metrics="4\n", more="5\n")
    move, moves = Path.replace, []

    def killed(path, target):
        if path.parent == clone.results:
            moves.append(path)
            if len(moves) > at:
                raise KeyboardInterrupt
        return move(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        clone.publish(result)
    assert clone.tables()["claims"] in ("1\n", "3\n")
    assert clone.tables()["metrics"] in ("2\n", "4\n")
    clone.publish(result)
    assert clone.tables() == {"claims": "3\n", "metrics": "4\n", "more": "5\n"}


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_a_table_that_cannot_be_read_is_no_missing_one(clone, make):
    before = clone.published()
    result = clone.execute("total 7", metrics="4\n")
    make(clone.out / "claims.csv")
    with pytest.raises(publish.PublishError, match="cannot be read"):
        clone.publish(result)
    assert clone.published() == before


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "{", "null", "<<<<<<< HEAD\n", None]
)
def test_an_executed_copy_that_is_none_is_refused_by_name(clone, content):
    before = clone.published()
    result = clone.execute(claims="3\n", metrics="4\n")
    result.executed.unlink()
    if content is not None:
        result.executed.write_text(content)
    with pytest.raises(publish.PublishError, match=f"{NAME}: cannot be read"):
        clone.publish(result)
    assert clone.published() == before


# ---- nothing of the machine ---------------------------------------------------------


def clean(*outputs, root=Path("/nowhere/at/all")):
    """The outputs of a committed copy."""
    cell = v4.new_code_cell("1", execution_count=1, outputs=list(outputs))
    [cell] = publish.clean(v4.new_notebook(cells=[cell]), root).cells
    return cell.outputs


@pytest.mark.parametrize(
    "text",
    [
        "a.py:3: UserWarning: old\n",
        "Loading weights: 100%|###|\n",
        "",
        "\x1b[31mred\x1b[0m",
    ],
)
def test_no_reader_sees_what_packages_say_on_stderr(text):
    outputs = clean(
        v4.new_output("stream", name="stdout", text="kept"),
        v4.new_output("stream", name="stderr", text=text),
        v4.new_output("display_data", data={"text/plain": "kept"}),
    )
    assert [output.output_type for output in outputs] == ["stream", "display_data"]
    assert outputs[0].text == "kept"


FOLDERS = [
    "/nowhere/at/all",
    str(Path.home()),
    sys.prefix,
    str(Path(sys.prefix) / "lib"),
    str(Path(os.__file__).parent),
    tempfile.gettempdir(),
    "/" + "home/somebody",
    "/" + "Users/some.body",
    "/" + "root",
    "/" + "tmp",
    "/" + "var/tmp",
]
CARRIERS = {
    "html": lambda t: {"text/html": f'<td title="{t}">{html.escape(t)}</td>'},
    "plotly": lambda t: {
        "application/vnd.plotly.v1+json": {
            "data": [{t: [1, None]}],
            "layout": {"a": [t]},
        }
    },
    "claim": lambda t: {"application/vnd.workbench.claim+json": {"statement": t}},
    "latex": lambda t: {"text/latex": rf"$\text{{{t}}}$"},
    "markdown": lambda t: {"text/markdown": f"[x]({t}) `{t}`"},
    "svg": lambda t: {"image/svg+xml": f"<svg><text>{t}</text></svg>"},
    "javascript": lambda t: {"application/javascript": f"open('{t}')"},
    "unknown": lambda t: {"application/x-of-somebody": [f"{t}\n", f"at {t}"]},
    "plain": lambda t: {"text/plain": f"PosixPath('{t}')"},
}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_no_output_of_any_type_names_a_folder_of_this_machine(carrier, folder):
    [output] = clean(
        v4.new_output("display_data", data=CARRIERS[carrier](f"{folder}/of/mine.py"))
    )
    text = json.dumps(output)
    assert f"{folder}/" not in text
    assert "of/mine.py" in text


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    "form", ["{}", "in {}:3", "\x1b[0;32m{}\x1b[0m", "'a\\n{}'", "--out={}", "<{}>",
             "file://{}", "({}, {})"],
)  # fmt: skip
def test_no_stream_error_or_alt_names_a_folder_of_this_machine(form, folder):
    text = form.replace("{}", f"{folder}/of/mine.py")
    png = {"image/png": {"alt": text}}
    outputs = clean(
        v4.new_output("stream", name="stdout", text=text),
        v4.new_output("error", ename="E", evalue=text, traceback=[text]),
        v4.new_output("display_data", data={"image/png": "AAAA"}, metadata=png),
    )
    assert f"{folder}/" not in json.dumps(outputs)
    assert json.dumps(outputs).count("of/mine.py") >= 4


@pytest.mark.parametrize(
    "spell", [str, html.escape, quote, lambda t: json.dumps(t)[1:-1]]
)
@pytest.mark.parametrize("name", ["wb x", "it's", "a&b", "Übung", '"q"', "a+b(c)"])
def test_a_folder_is_found_however_it_is_spelt(name, spell):
    root = Path("/nowhere") / name
    text = f"at {spell(str(root))}/of/mine.py and {spell(str(root))}."
    [output] = clean(v4.new_output("stream", name="stdout", text=text), root=root)
    assert output.text == "at of/mine.py and .."


@pytest.mark.parametrize(
    "text",
    ["see https://example.org/" + "home/me/x", "a/" + "tmp/x", "1/2 and 3/4", "</p>",
     "/nowhere/at/allow/x", "~/" + "home/x", "and/or", "../" + "tmp/x"],
)  # fmt: skip
def test_other_words_are_left_alone(text):
    [output] = clean(v4.new_output("stream", name="stdout", text=text))
    assert output.text == text


@pytest.mark.parametrize("mime", ["image/png", "image/jpeg", "image/webp"])
def test_the_letters_of_a_picture_are_left_alone(mime):
    spelt = "+/" + "tmp/abc0" + base64.b64encode(b"0x7fffffff").decode()
    [output] = clean(v4.new_output("display_data", data={mime: spelt}))
    assert output.data[mime] == spelt


def test_what_differs_between_two_runs_is_cut():
    texts = [
        f"<a at 0x{n:012x}> in " + "/" + f"tmp/ipykernel_{n}/{n}.py"
        for n in (2**40, 2**41)
    ]
    [one], [two] = (
        clean(v4.new_output("stream", name="stdout", text=t)) for t in texts
    )
    assert one == two
    assert one.text == "<a at 0x0> in cell"


def test_a_path_in_the_code_itself_is_refused(tmp_path):
    made = Project(tmp_path)
    made.source.write_text(PLAIN + f"\n# %%\nprint({str(tmp_path / 'a')!r})\n")
    with pytest.raises(publish.PublishError, match="a path of this machine"):
        made.publish(made.execute())
    assert not made.results.exists()


@pytest.mark.parametrize("name", [path.stem for path in series.sources(ROOT)])
def test_the_committed_copy_is_clean_already(name):
    committed = build.load(ROOT / "notebooks" / f"{name}.ipynb")
    assert publish.clean(committed, ROOT) == committed
