"""What nbgrader and otter-grader read: their marks, their metadata, a test each.

The rules of both formats stand here as their own sources have them (nbgrader 0.9.6,
``nbgraderformat/v3.json`` and ``v3.py``; otter-grader 7.0.0, ``assign/blocks.py`` and
``assign/solutions.py``); all lessons were also taken through both programs once.
"""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from tests.classroom.handed_in import course
from workbench.classroom import edition, exports, warden
from workbench.classroom.tasks import tasks
from workbench.teach.exercise import exercises

ROOT = Path(__file__).parents[2]
SOURCES = edition.chosen(ROOT)
TASKS = {source.name: tasks(source.notebook) for source in SOURCES}
# nbgrader's v3.json: what a cell must and may say, and of which type
REQUIRED = {"schema_version": int, "grade": bool, "locked": bool, "solution": bool}
ALLOWED = REQUIRED | {"task": bool, "grade_id": str, "points": int}
BLOCKS = ("QUESTION", "SOLUTION", "TESTS")

each = pytest.mark.parametrize("name", TASKS)


def read(files):
    return {
        Path(name).stem: nbformat.reads(data.decode(), as_version=4)
        for name, data in files.items()
        if name.endswith(".ipynb")
    }


@pytest.fixture(scope="module")
def nbgrader():
    return read(exports.nbgrader_files(ROOT, SOURCES))


@pytest.fixture(scope="module")
def otter():
    return read(exports.otter_files(ROOT, SOURCES))


def released(source, marks):
    """A cell as the student gets it: what stands between the marks is gone."""
    begin, end = map(re.escape, marks)
    pattern = rf"(?ms)^{begin}$.*?^{end}$"
    assert len(re.findall(pattern, source)) == 1, source
    return re.sub(pattern, "...", source)


def by_hand(task):
    return exercises(task.id[:2])[task.id].read


@each
def test_nbgrader_s_metadata_follow_its_schema(name, nbgrader):
    told = [c.metadata["nbgrader"] for c in nbgrader[name].cells
            if "nbgrader" in c.metadata]  # fmt: skip
    for each in told:
        assert set(REQUIRED) <= set(each) <= set(ALLOWED)
        assert all(type(each[key]) is ALLOWED[key] for key in each)
        assert each["schema_version"] == 3
        assert re.fullmatch(r"[a-zA-Z0-9_\-]+", each["grade_id"])
        assert ("points" in each) == each["grade"]
        assert not (each["locked"] and each["solution"])
    ids = [each["grade_id"] for each in told]
    assert len(set(ids)) == len(ids)
    points = sum(each.get("points", 0) for each in told)
    assert points == sum(task.points for task in TASKS[name])


@each
def test_an_exercise_is_a_cell_to_write_into_and_a_locked_test(name, nbgrader):
    cells = {c.metadata["nbgrader"]["grade_id"]: c for c in nbgrader[name].cells
             if "nbgrader" in c.metadata}  # fmt: skip
    for task in TASKS[name]:
        answer = cells.pop(f"answer-{task.id}")
        assert answer.metadata["nbgrader"]["solution"]
        assert answer.metadata["nbgrader"]["grade"] == by_hand(task)
        if by_hand(task):
            continue
        test = cells.pop(f"check-{task.id}")
        assert test.metadata["nbgrader"]["locked"]
        # what is tested is set by the solution
        target = re.search(r"[(, ](\w+)\), teach", test.source)[1]
        assert re.search(rf"^(def )?{target}\b", answer.source, re.M)
    assert not cells


@pytest.mark.parametrize("form", ["nbgrader", "otter"])
@each
def test_all_code_is_code_and_the_student_sees_no_solution(name, form, request):
    notebook = request.getfixturevalue(form)[name]
    nbformat.validate(notebook)
    marks = {"nbgrader": exports.NBGRADER, "otter": exports.OTTER}[form]
    found = 0
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert "teach.solution" not in cell.source
        if cell.cell_type != "code":
            continue
        ast.parse(cell.source)
        if marks[0] in cell.source:
            found += 1
            left = released(cell.source, marks)
            ast.parse(left)
            assert "teach." not in left or "display(teach." in left
    assert found == len(TASKS[name])


@each
def test_otter_s_blocks_open_and_close(name, otter):
    """As its own parser asks: solution and tests inside a question, none nested."""
    cells = otter[name].cells
    assert cells[0].cell_type == "raw"
    assert cells[0].source.startswith("# ASSIGNMENT CONFIG\n")
    open_blocks, asked = [], []
    for cell in cells[1:]:
        if cell.cell_type != "raw":
            if open_blocks[-1:] == ["TESTS"]:
                assert cell.cell_type == "code" and cell.source.startswith("assert ")
            continue
        edge, block = re.match(r"# (BEGIN|END) (\w+)", cell.source).groups()
        assert block in BLOCKS
        if edge == "END":
            assert open_blocks.pop() == block
            continue
        assert (block == "QUESTION") == (not open_blocks)
        open_blocks.append(block)
        if block == "QUESTION":
            asked.append(dict(re.findall(r"(\w+): (\w+)", cell.source)))
    assert not open_blocks
    assert [(a["name"], int(a["points"]), "manual" in a) for a in asked] == [
        (f"q_{t.id.replace('-', '_')}", t.points, by_hand(t)) for t in TASKS[name]
    ]


def test_links_lead_from_folder_to_folder():
    files = exports.nbgrader_files(ROOT, SOURCES)
    for place, data in files.items():
        if not place.endswith(".ipynb"):
            continue
        for cell in nbformat.reads(data.decode(), as_version=4).cells:
            if cell.cell_type != "markdown":
                continue
            for _, address in edition.LINK.findall(cell.source):
                if "://" not in address:
                    folder = Path("/") / Path(place).parent
                    target = (folder / address.partition("#")[0]).resolve()
                    assert str(target)[1:] in files, address


@pytest.mark.parametrize("form", ["nbgrader", "otter"])
def test_the_teacher_s_version_passes_its_own_tests(form, tmp_path):
    """Executed: every solution satisfies the test below it, in both forms."""
    root = course(tmp_path)
    path = root / "notebooks/src/20_dpo.py"
    text = path.read_text("utf-8").replace(
        'teach.answer("20-4", None)\n',
        'teach.answer("20-4", None)\n\n# %% tags=["solution"]\n'
        'teach.solution("20-4", "none")\n',
    ).replace(
        "teach.check.dpo(suspect)\n",
        'teach.check.dpo(suspect)\n\n# %% tags=["solution"]\n'
        "def mended(batch, cfg):\n"
        "    return -torch.nn.functional.logsigmoid(cfg.beta * batch.margin())\n\n"
        "assert teach.check.dpo(mended).passed\n",
    )  # fmt: skip
    path.write_text(text, "utf-8")
    make = {"nbgrader": exports.nbgrader_files, "otter": exports.otter_files}[form]
    [notebook] = read(make(root, edition.chosen(root))).values()
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    assert sum(source.startswith("assert teach") for source in code) == 3
    cells = [{"cell": n, "source": source} for n, source in enumerate(code)]
    done = warden.run(cells, warden.Limits())
    assert done.ended == ""
    assert not [event for event in done.events if event["event"] == "error"]
    heard = [e for e in done.events if e["event"] in ("answer", "check")]
    assert len(heard) == 3
