"""Building, stamping, the cache, and the committed copies."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat.v4 as v4
import pytest

from workbench.runner import build, publish, series, stamp

FIXTURES = Path(__file__).parent / "fixtures"
PLAIN = FIXTURES / "pass_plain.py"


def project(tmp_path: Path, text: str | None = None) -> tuple[Path, series.Settings]:
    """A project with one notebook."""
    folder = tmp_path / "notebooks" / "src"
    folder.mkdir(parents=True)
    source = folder / "01_plain.py"
    source.write_text(text or PLAIN.read_text())
    return source, series.Settings(root=tmp_path)


def executed_by_hand(source: Path, settings: series.Settings) -> series.Result:
    """A result whose executed copy was written here, to save an execution."""
    notebook = build.read(source).notebook
    for count, cell in enumerate((notebook.cells[2], notebook.cells[3]), start=1):
        cell.execution_count = count
        cell.outputs = [v4.new_output("stream", name="stdout", text="total 6\n")]
    path = settings.folder / f"{source.stem}.ipynb"
    build.write(notebook, path)
    return series.Result(source.stem, settings.profile, path, (), 1.0, ())


def test_two_builds_are_the_same_bytes(tmp_path):
    for name in ("a.ipynb", "b.ipynb"):
        build.write(build.read(PLAIN).notebook, tmp_path / name)
    assert (tmp_path / "a.ipynb").read_bytes() == (tmp_path / "b.ipynb").read_bytes()


def test_a_new_cell_leaves_the_ids_of_the_others(tmp_path):
    text = PLAIN.read_text()
    source, _ = project(
        tmp_path, text.replace("# %%\ntotal\n", "# %%\n7\n\n# %%\ntotal\n")
    )
    before = [cell.id for cell in build.read(PLAIN).notebook.cells]
    after = [cell.id for cell in build.read(source).notebook.cells]
    assert len(after) == len(before) + 1
    assert set(before) < set(after)
    assert len(set(after)) == len(after)


def test_the_header_survives_a_round_trip_through_jupytext(tmp_path):
    import jupytext

    notebook = build.read(PLAIN).notebook
    config = jupytext.config.load_jupytext_configuration_file(
        str(Path(build.__file__).parents[2] / "pyproject.toml")
    )
    text = jupytext.writes(notebook, fmt="py:percent", config=config)
    again = tmp_path / "again.py"
    again.write_text(text)
    assert build.read(again).budget_s == build.read(PLAIN).budget_s
    assert build.read(again).title == "Plain"
    assert stamp.code_hash(build.read(again).notebook) == stamp.code_hash(notebook)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('title: "Plain"', "other: 1", "no jupyter.workbench.title"),
        ("ci: 60, ", "", "seconds for each of ci, lecture, figure"),
        ('PROFILE = "lecture"', "PROFILE = str(3)", "NAME = literal only"),
        (' tags=["parameters"]', "", "0 cells tagged parameters"),
    ],
)
def test_a_source_that_lacks_something_is_refused(old, new, words, tmp_path):
    text = PLAIN.read_text()
    assert old in text
    source, _ = project(tmp_path, text.replace(old, new))
    with pytest.raises(build.SourceError, match=words):
        build.read(source)


def test_unchanged_is_reused_changed_prose_carried_changed_code_executed(tmp_path):
    source, settings = project(tmp_path)
    assert not series.run_one(source, settings).cached
    assert series.run_one(source, settings).cached

    source.write_text(source.read_text().replace("# # Plain", "# # Plainer"))
    result = series.run_one(source, settings)
    executed = build.load(result.executed)
    assert result.cached
    assert executed.cells[0].source == "# Plainer"
    assert "total 6" in executed.cells[2].outputs[0].text

    source.write_text(source.read_text().replace("range(4)", "range(5)"))
    result = series.run_one(source, settings)
    assert not result.cached
    assert "total 10" in build.load(result.executed).cells[3].outputs[0].text


def test_the_cache_key_covers_library_data_and_profile_but_not_results(tmp_path):
    def key(**settings):
        stamp._library_hash.cache_clear()
        notebook = build.read(PLAIN).notebook
        return stamp.cache_key(notebook, tmp_path, {"PROFILE": "ci"} | settings)

    (tmp_path / "workbench").mkdir()
    (tmp_path / "data" / "results").mkdir(parents=True)
    first = key()
    assert key() == first
    assert key(PROFILE="lecture") != first
    (tmp_path / "data" / "results" / "a.csv").write_text("1")
    assert key() == first
    (tmp_path / "data" / "b.csv").write_text("1")
    second = key()
    assert second != first
    (tmp_path / "workbench" / "m.py").write_text("A = 1")
    assert key() != second


def test_a_published_notebook_is_stamped_clean_and_goes_stale(tmp_path):
    text = PLAIN.read_text() + (
        "\n# %%\nfrom pathlib import Path\n\n"
        'Path(OUT, "table.csv").write_text("a\\n1\\n")\n'
        "print(Path.cwd(), object())\n"
    )
    source, settings = project(tmp_path, text)
    result = series.run_one(source, settings)
    assert result.passed, result.failures
    target = publish.publish(result, settings)
    published = build.load(target)
    raw = target.read_text()

    assert stamp.is_current(build.read(source).notebook, published) is None
    assert published.cells[2].outputs[0].text == "profile lecture total 6\n"
    assert "papermill" not in raw
    assert "injected-parameters" not in raw
    assert str(tmp_path) not in raw
    assert not re.search(r"0x[0-9a-f]{6,}|20\d\d-\d\d-\d\dT", raw)
    results = tmp_path / "data" / "results" / "01_plain"
    assert (results / "table.csv").read_text() == "a\n1\n"
    assert '"profile": "lecture"' in (results / "run.json").read_text()

    # A second execution publishes the same bytes.
    publish.publish(
        series.run_one(source, series.Settings(root=tmp_path, force=True)), settings
    )
    assert target.read_text() == raw

    source.write_text(source.read_text().replace("range(4)", "range(5)"))
    assert "stale" in stamp.is_current(build.read(source).notebook, published)
    assert "no stamp" in stamp.is_current(
        build.read(source).notebook, build.read(source).notebook
    )


def test_a_copy_that_is_too_large_or_failed_is_not_published(tmp_path, monkeypatch):
    source, settings = project(tmp_path)
    result = executed_by_hand(source, settings)
    monkeypatch.setattr(publish, "MAX_BYTES", 500)
    with pytest.raises(publish.PublishError, match="KB to commit"):
        publish.publish(result, settings)
    ci = series.Result("01_plain", "ci", result.executed, (), 1.0, ())
    with pytest.raises(publish.PublishError, match="lecture"):
        publish.publish(ci, settings)


def test_sync_keeps_outputs_and_a_readers_edits(tmp_path):
    source, settings = project(tmp_path)
    target = tmp_path / "notebooks" / "01_plain.ipynb"
    assert build.sync(build.read(source), target) == "written"
    assert build.sync(build.read(source), target) == "kept"
    publish.publish(executed_by_hand(source, settings), settings)
    assert build.sync(build.read(source), target) == "kept"

    source.write_text(source.read_text().replace("# # Plain", "# # Plainer"))
    assert build.sync(build.read(source), target) == "written"
    notebook = build.load(target)
    assert notebook.cells[0].source == "# Plainer"
    assert "total 6" in notebook.cells[2].outputs[0].text
    assert stamp.is_current(build.read(source).notebook, notebook) is None

    notebook.cells[2].source = "my_answer = 1"
    build.write(notebook, target)
    source.write_text(source.read_text().replace("range(4)", "range(5)"))
    assert build.sync(build.read(source), target) == "edited"
    assert build.load(target).cells[2].source == "my_answer = 1"


def test_notebooks_are_found_by_number_name_or_path(tmp_path):
    source, _ = project(tmp_path)
    for wanted in ("01", "01_plain", "notebooks/01_plain.ipynb", str(source)):
        assert series.select(tmp_path, [wanted]) == [source]
    with pytest.raises(FileNotFoundError, match="no notebook '77'; there are 01_plain"):
        series.select(tmp_path, ["77"])


ADDRESS = '[tool.workbench]\nrepository = "https://github.com/someone/something"\n'


@pytest.fixture
def with_address(tmp_path):
    """A clone whose pyproject.toml names the repository, and one lesson."""
    folder = tmp_path / "notebooks" / "src"
    folder.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(ADDRESS)
    text = (FIXTURES / "pass_plain.py").read_text()
    (folder / "01_plain.py").write_text(text)
    return folder / "01_plain.py"


def test_with_an_address_a_lesson_opens_on_colab_and_installs_itself_there(
    with_address,
):
    notebook = build.read(with_address).notebook
    assert "/github/someone/something/blob/main/notebooks/01_plain.ipynb)" in (
        notebook.cells[0].source
    )
    [first] = [c for c in notebook.cells if c.cell_type == "code"][:1]
    assert first.metadata["tags"] == ["install"]
    before = set(sys.modules)
    exec(first.source, {})  # nothing is installed here
    assert "google.colab" not in before
    assert "git+https://github.com/someone/something" in first.source


def test_an_address_changes_no_stamp_and_keeps_the_outputs(with_address):
    plain = build.read(FIXTURES / "pass_plain.py").notebook
    added = build.read(with_address).notebook
    assert stamp.code_hash(plain) == stamp.code_hash(added)
    for n, cell in enumerate(c for c in plain.cells if c.cell_type == "code"):
        cell.execution_count = n + 1
    carried = build.carry_outputs(added, plain)
    counts = [c.execution_count for c in carried.cells if c.cell_type == "code"]
    assert counts == [None, 1, 2, 3]


@pytest.mark.parametrize(
    "text", ["", "[tool.workbench]\nrepository = ''\n", "no toml [", "[tool]\n"]
)
def test_without_an_address_a_lesson_has_neither(with_address, text):
    (with_address.parents[2] / "pyproject.toml").write_text(text)
    notebook = build.read(with_address).notebook
    assert "colab" not in str(notebook).lower()


def test_reading_a_notebook_compiles_no_grammar_of_addresses(tmp_path):
    """jsonschema would import rfc3987_syntax for a second; others still can."""
    notebook = v4.new_notebook(cells=[v4.new_code_cell("1")])
    build.write(notebook, tmp_path / "a.ipynb")
    program = (
        "import sys; from pathlib import Path; from workbench.runner import build\n"
        f"build.load(Path({str(tmp_path / 'a.ipynb')!r}))\n"
        "assert 'jsonschema' in sys.modules and 'rfc3987_syntax' not in sys.modules\n"
        "import rfc3987_syntax\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
