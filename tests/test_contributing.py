"""The example of CONTRIBUTING.md is a method: it goes through every check of one."""

import importlib
import re
import sys

import pytest
import torch

import workbench.methods.direct.links as links
from tests import test_house_rules as rules
from tests.methods.test_every_method import mistake_problems, property_problem
from workbench import catalogue
from workbench.teach import check
from workbench.teach.properties import PROPERTIES

TEXT = (catalogue.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(
    re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```\n", TEXT, re.DOTALL)
)
METHOD = "workbench/methods/direct/links/squared_hinge.py"
TEST = "tests/methods/direct/links/test_squared_hinge.py"
NAME = "workbench.methods.direct.links.squared_hinge"


@pytest.fixture
def squared_hinge(tmp_path, monkeypatch):
    """The example, importable under the name it would have."""
    (tmp_path / "squared_hinge.py").write_text(EXAMPLES[METHOD], encoding="utf-8")
    monkeypatch.setattr(links, "__path__", [*links.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield importlib.import_module(NAME)
    del sys.modules[NAME]
    del links.squared_hinge


@pytest.fixture
def its_tests(squared_hinge, tmp_path):
    """The names that the example's test file defines."""
    names = {}
    exec(compile(EXAMPLES[TEST], TEST, "exec"), names)
    return names


def test_the_text_holds_two_files():
    assert list(EXAMPLES) == [METHOD, TEST]


def test_the_example_is_about_twenty_lines_of_code():
    code = EXAMPLES[METHOD].split('"""', 2)[2]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 25


def test_it_is_complete(squared_hinge):
    assert catalogue.problems(squared_hinge) == []


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_holds(squared_hinge, name):
    assert property_problem(squared_hinge, name) is None


def test_its_mistakes_differ_from_it(squared_hinge):
    assert mistake_problems(squared_hinge) == []


def test_its_own_tests_pass(squared_hinge, its_tests):
    for each in its_tests["CHECKS"]:
        its_tests["test_squared_hinge"](each)


def test_its_own_checks_catch_every_mistake(squared_hinge, its_tests):
    for wrong in squared_hinge.mistakes.values():
        with pytest.raises(AssertionError):
            for each in its_tests["CHECKS"]:
                each(wrong)


def test_catalogue_finds_it_without_another_edit(squared_hinge):
    found = catalogue.methods()
    assert "squared_hinge" in found
    assert catalogue.all_problems(found) == []
    assert "### squared_hinge" in catalogue.methods_page(found)
    assert "METHODS.md#squared_hinge" in catalogue.methods_markdown(
        catalogue.table(found)
    )


def test_a_student_can_be_checked_on_it(squared_hinge):
    assert check.squared_hinge(squared_hinge.loss)
    assert (
        check.squared_hinge(squared_hinge.mistakes["2 no beta"]).mistake == "2 no beta"
    )
    assert not check.squared_hinge(lambda batch, cfg: torch.zeros(8))


@pytest.mark.parametrize(
    "rule",
    [rule for rule, files in rules.RULES.items() if set(rules.METHODS) <= set(files)],
    ids=lambda rule: rule.__name__,
)
def test_it_keeps_the_house_rules(rule):
    assert rule(METHOD, EXAMPLES[METHOD]) == []
