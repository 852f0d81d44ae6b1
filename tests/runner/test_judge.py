"""The verdict on hand-made executed notebooks: one finding at a time."""

import nbformat.v4 as v4
import pytest

from workbench.runner.verdict import (
    CLAIM,
    OVER,
    STATES,
    WIDGET_STATE,
    foreign,
    judge,
    over_budget,
)

FINE = {"declared": ["PROFILE"], "passed": ["PROFILE"]}


def cell(source="1", count=1, outputs=(), tags=()):
    made = v4.new_code_cell(source, execution_count=count, outputs=list(outputs))
    made.metadata["tags"] = list(tags)
    return made


def kinds(*cells, metadata=None, **changes):
    notebook = v4.new_notebook(cells=list(cells), metadata=metadata or {})
    arguments = FINE | {"size": 1000} | changes
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


OWN = [
    "{root}/workbench/loops/offline.py:3: UserWarning: a step was left out",
    "{root}/workbench/core/kl.py:9: RuntimeWarning: divide by zero",
    "{root}/workbench/models/device.py:15: WorkbenchWarning: no CUDA device",
    "/x/ipykernel_7/12.py:1: UserWarning: the cell says so",
    "<string>:1: UserWarning: the cell says so",
    "Traceback (most recent call last):\n  File 'x'\nValueError: in a thread",
    "Exception ignored in: <function f>\nTraceback (most recent call last):",
]
FOREIGN = [
    "{root}/workbench/models/sampling.py:64: FutureWarning: `past_key_values` is old",
    "{root}/workbench/models/sampling.py:64: DeprecationWarning: gone in 6.0",
    "/x/site-packages/torch/a.py:1: UserWarning: a kernel of ours is slow",
    "/x/site-packages/newlib/b.py:1: NewlibWarning: we have moved",
    "/x/dist-packages/c.py:1: RuntimeWarning: overflow",
    "<frozen importlib._bootstrap>:241: RuntimeWarning: a size changed",
    "Setting `pad_token_id` to `eos_token_id`:0 for open-end generation.",
    "OMP: Info #276: omp_set_nested routine deprecated",
]


def stderr(text):
    from workbench.core import notes

    return v4.new_output(
        "stream", name="stderr", text=text.format(root=notes.PACKAGE.parent)
    )


@pytest.mark.parametrize("text", OWN)
def test_our_own_warnings_and_crashes_fail(text):
    assert kinds(cell(outputs=[stderr(text)])) == ["stderr"]


@pytest.mark.parametrize("text", FOREIGN)
def test_what_other_packages_say_is_a_note(text):
    source = cell(outputs=[stderr(text + "\n  the_line_of_source()\n")])
    assert kinds(source) == []
    [note] = foreign(v4.new_notebook(cells=[source]))
    assert note.endswith(text.rsplit("}", 1)[-1])


def test_our_own_warning_passes_where_it_is_expected():
    output = stderr("/x/ipykernel_7/12.py:1: UserWarning: known\n")
    assert kinds(cell(outputs=[output]), stderr_allow=["known"]) == []
    assert kinds(cell(outputs=[output]), stderr_allow=["other"]) == ["stderr"]


def test_stdout_is_nobodys_business():
    output = v4.new_output("stream", name="stdout", text="Error!\n")
    assert kinds(cell(outputs=[output])) == []


def test_a_parameter_that_is_not_declared():
    assert kinds(cell(), passed=["PROFILE", "PROFIL"]) == ["unknown parameter"]


def test_a_budget_is_missed_beyond_what_processors_differ_by():
    assert over_budget(10.0, OVER * 10.0) == []
    assert [f.kind for f in over_budget(10.0, OVER * 10.0 + 0.1)] == ["over budget"]


@pytest.mark.parametrize(("size", "found"), [(10**6, []), (10**6 + 1, ["too large"])])
def test_the_size(size, found):
    assert kinds(cell(), size=size) == found


def test_the_states_of_an_instrument_do_not_count_since_they_are_not_committed():
    states = {STATES: {"base": "x" * 1000}, "text/plain": "live only"}
    shown = cell(outputs=[v4.new_output("display_data", data=states)])
    assert kinds(shown, size=10**6 + 1000) == []
    assert kinds(shown, size=10**6 + 1100) == ["too large"]


def test_a_claim_is_missed_only_if_it_had_to_hold():
    assert kinds(cell(outputs=[claim(missed=True)])) == ["missed claim"]
    assert kinds(cell(outputs=[claim(verdict="contradicted", missed=False)])) == []
    assert kinds(cell(outputs=[claim(key="", missed=False)])) == ["no claim key"]


def test_a_claim_without_a_verdict_on_itself_fails():
    assert kinds(cell(outputs=[claim()])) == ["missed claim"]


@pytest.mark.parametrize("ended", ["stuck", "memory", "dead kernel", "engine"])
def test_how_the_worker_ended_names_the_running_cell(ended):
    notebook = v4.new_notebook(cells=[cell(), cell("slow()", count=None)])
    found = judge(notebook, **FINE, size=9, ended=ended, at=1)
    assert found[0].kind == ended
    assert found[0].cell == 2
    assert "slow()" in found[0].detail
