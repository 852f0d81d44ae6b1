"""The student's edition: no solutions, links that lead somewhere, nothing lost."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.lesson_text import names_defined, names_used
from workbench.classroom import edition, warden
from workbench.core.errors import BadOption, BadRun
from workbench.runner import series
from workbench.teach.blocks import is_solution

ROOT = Path(__file__).parents[2]
SOURCES = edition.chosen(ROOT)
NAMES = {source.name for source in SOURCES}
EXECUTED = ("01", "21")  # at profile ci, some seconds each


@pytest.fixture(scope="module")
def files():
    """The whole edition by name, as text."""
    made = edition.plain_files(ROOT, SOURCES)
    return {name: data.decode() for name, data in made.items()}


def notebooks(files):
    return [
        nbformat.reads(text, as_version=4)
        for name, text in files.items()
        if name.endswith(".ipynb")
    ]


def test_all_lessons_and_no_study_by_default():
    lessons = [p.stem for p in series.sources(ROOT) if p.stem[2] == "_"]
    assert [source.name for source in SOURCES] == lessons


def test_named_lessons_and_studies_may_stand_in_one_word():
    found = edition.chosen(ROOT, ["20,20a", "00"])
    assert [source.name[:3] for source in found] == ["20_", "20a", "00_"]
    with pytest.raises(FileNotFoundError, match="did you mean links"):
        edition.chosen(ROOT, ["lnks"])


def test_no_solution_and_no_output_is_left(files):
    for notebook in notebooks(files):
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert not is_solution(cell)
            assert not cell.get("outputs") and "teach.solution" not in cell.source


def test_every_name_that_is_left_is_defined(files):
    """What only a solution had defined must not be read by any other cell."""
    for source, notebook in zip(SOURCES, notebooks(files), strict=True):
        code = [c for c in source.notebook.cells if c.cell_type == "code"]
        private = set().union(*(names_defined(c) for c in code if is_solution(c)))
        left = [c for c in notebook.cells if c.cell_type == "code"]
        shared = set().union(*map(names_defined, left))
        assert not (private - shared) & set().union(*map(names_used, left))


def test_every_exercise_is_still_asked_and_checked(files):
    for notebook in notebooks(files):
        text = "\n".join(cell.source for cell in notebook.cells)
        asked = re.findall(r"^\*\*(\d\d-\d+) · ", text, re.M)
        assert len(asked) >= 5
        assert text.count("teach.answer(") + text.count("teach.check.") >= len(asked)


def test_links_lead_to_files_of_the_edition(files):
    found = 0
    for notebook in notebooks(files):
        for cell in notebook.cells:
            for words, address in edition.LINK.findall(cell.source):
                if cell.cell_type != "markdown" or "://" in address:
                    continue
                found += 1
                assert address.partition("#")[0] in files, (words, address)
    assert found > 40


def test_a_link_to_a_lesson_that_is_not_there_is_plain_words():
    known = {"20_dpo.ipynb": "20_dpo.ipynb", "../GLOSSARY.md": "GLOSSARY.md"}
    text = (
        "[**20** · x](20_dpo.ipynb#a) [**21**](21_links.ipynb) "
        "[KL](../GLOSSARY.md#kl) [p](https://x.org/a.ipynb) ![i](attachment:a.png) "
        "$[0, 1](x)$"
    )
    assert edition.linked(text, known) == (
        "[**20** · x](20_dpo.ipynb#a) **21** "
        "[KL](GLOSSARY.md#kl) [p](https://x.org/a.ipynb) ![i](attachment:a.png) "
        "$[0, 1](x)$"
    )


def test_a_lesson_says_which_it_is(files):
    told = [notebook.metadata.workbench["lesson"] for notebook in notebooks(files)]
    assert told == [source.name for source in SOURCES]


@pytest.mark.parametrize("number", EXECUTED)
def test_a_student_s_edition_runs(number, files):
    """No cell raises, though no exercise has been done."""
    [name] = [name for name in NAMES if name.startswith(number)]
    cells = nbformat.reads(files[f"{name}.ipynb"], as_version=4).cells
    code = [
        {"cell": n, "source": cell.source.replace('"lecture"', '"ci"')}
        for n, cell in enumerate(cells)
        if cell.cell_type == "code"
    ]
    done = warden.run(code, warden.Limits(seconds=600))
    assert done.ended == ""
    errors = [event for event in done.events if event["event"] == "error"]
    assert not errors


# ---- the folder -------------------------------------------------------------------

FILES = {"20_dpo.ipynb": b"{}", "GLOSSARY.md": b"words"}


def test_an_edition_is_written_and_renewed(tmp_path):
    folder = tmp_path / "a" / "course"
    edition.write(folder, FILES)
    edition.write(folder, FILES | {"GLOSSARY.md": b"more words"})
    assert (folder / "GLOSSARY.md").read_bytes() == b"more words"
    edition.write(folder, {"00_x.ipynb": b"{}"})
    left = {p.name for p in folder.iterdir()} - {edition.RECORD}
    assert left == {"00_x.ipynb"}


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(BadOption, match=r"holds other files \(thesis.tex\)"):
        edition.write(tmp_path, FILES)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    edition.write(tmp_path, FILES, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    assert (tmp_path / "20_dpo.ipynb").exists()


def test_a_file_that_was_changed_is_refused(tmp_path):
    folder = tmp_path / "course"
    edition.write(folder, FILES)
    (folder / "20_dpo.ipynb").write_text("a teacher's own words")
    with pytest.raises(BadOption, match="20_dpo.ipynb was changed"):
        edition.write(folder, FILES | {"GLOSSARY.md": b"new"})
    assert (folder / "GLOSSARY.md").read_bytes() == b"words"
    edition.write(folder, {"00_x.ipynb": b"{}"})
    assert (folder / "20_dpo.ipynb").read_text() == "a teacher's own words"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "course").write_text("")
    with pytest.raises(BadRun, match="no folder"):
        edition.write(tmp_path / "course", FILES)


@pytest.mark.parametrize("record", ["", "[]", '{"20_dpo.ipynb": 3}'])
def test_a_damaged_record_protects_what_is_there(tmp_path, record):
    edition.write(tmp_path / "course", FILES)
    (tmp_path / "course" / edition.RECORD).write_text(record)
    with pytest.raises(BadOption, match="holds other files"):
        edition.write(tmp_path / "course", FILES)


def test_a_record_names_no_file_outside_its_folder(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"x")
    folder = tmp_path / "course"
    edition.write(folder, FILES)
    hashed = edition._hash(b"x")
    forged = {"../victim": hashed, str(victim): hashed}
    (folder / edition.RECORD).write_text(json.dumps(forged))
    edition.write(folder, FILES, overwrite=True)
    assert victim.exists()
