"""The verdict on hand-made executed notebooks: one finding at a time."""

import nbformat.v4 as v4
import pytest

from workbench.runner.verdict import CLAIM, WIDGET_STATE, judge

FINE = {"declared": ["PROFILE"], "passed": ["PROFILE"], "budget_s": 10.0}


def cell(source="1", count=1, outputs=(), tags=()):
    made = v4.new_code_cell(source, execution_count=count, outputs=list(outputs))
    made.metadata["tags"] = list(tags)
    return made


def kinds(*cells, metadata=None, **changes):
    notebook = v4.new_notebook(cells=list(cells), metadata=metadata or {})
    arguments = FINE | {"seconds": 1.0, "size": 1000} | changes
    return [failure.kind for failure in judge(notebook, **arguments)]


def error(name="ValueError"):
    return v4.new_output("error", ename=name, evalue="x", traceback=["\x1b[31mx"])


def claim(**fields):
    fields = {"key": "a", "statement": "s", "verdict": "reproduced"} | fields
    return v4.new_output("display_data", data={CLAIM: fields})


def test_nothing_wrong():
    assert kinds(cell(), v4.new_markdown_cell("text")) == []


def test_a_cell_that_never_ran_is_found_without_any_error():
    assert kinds(cell(), cell(count=None)) == ["not executed"]


def test_an_empty_cell_need_not_run():
    assert kinds(cell(), cell(source=" \n", count=None)) == []


def test_an_error_hides_the_cells_behind_it():
    assert kinds(cell(outputs=[error()]), cell(count=None)) == ["error"]


def test_an_intended_error_passes_and_its_absence_fails():
    assert kinds(cell(outputs=[error()], tags=["raises-exception"])) == []
    assert kinds(cell(tags=["raises-exception"])) == ["error"]


def test_an_intended_error_does_not_excuse_another_cell():
    good = cell(outputs=[error()], tags=["raises-exception"])
    assert kinds(good, cell(outputs=[error()])) == ["error"]


def test_an_error_inside_widget_state():
    state = {"m": {"state": {"outputs": [{"output_type": "error", "ename": "E"}]}}}
    found = kinds(cell(), metadata={"widgets": {WIDGET_STATE: {"state": state}}})
    assert found == ["widget error"]


def test_stderr_passes_only_where_every_line_is_expected():
    said = v4.new_output("stream", name="stderr", text="known: 3\nunknown\n")
    assert kinds(cell(outputs=[said])) == ["stderr"]
    assert kinds(cell(outputs=[said]), stderr_allow=["^known"]) == ["stderr"]
    assert kinds(cell(outputs=[said]), stderr_allow=["known"]) == []


def test_stdout_is_nobodys_business():
    said = v4.new_output("stream", name="stdout", text="Error!\n")
    assert kinds(cell(outputs=[said])) == []


def test_a_parameter_that_is_not_declared():
    assert kinds(cell(), passed=["PROFILE", "PROFIL"]) == ["unknown parameter"]


@pytest.mark.parametrize(("seconds", "found"), [(10.0, []), (10.1, ["over budget"])])
def test_the_budget(seconds, found):
    assert kinds(cell(), seconds=seconds) == found


@pytest.mark.parametrize(("size", "found"), [(10**6, []), (10**6 + 1, ["too large"])])
def test_the_size(size, found):
    assert kinds(cell(), size=size) == found


def test_a_claim_is_missed_only_if_it_had_to_hold():
    assert kinds(cell(outputs=[claim(missed=True)])) == ["missed claim"]
    assert kinds(cell(outputs=[claim(verdict="contradicted", missed=False)])) == []
    assert kinds(cell(outputs=[claim(key="", missed=False)])) == ["no claim key"]


def test_a_claim_without_a_verdict_on_itself_fails():
    assert kinds(cell(outputs=[claim()])) == ["missed claim"]


@pytest.mark.parametrize("ended", ["timeout", "dead kernel", "engine"])
def test_how_the_worker_ended_names_the_running_cell(ended):
    notebook = v4.new_notebook(cells=[cell(), cell("slow()", count=None)])
    found = judge(notebook, **FINE, seconds=99.0, size=9, ended=ended, at=1)
    assert found[0].kind == ended
    assert found[0].cell == 2
    assert "slow()" in found[0].detail
