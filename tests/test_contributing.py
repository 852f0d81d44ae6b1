"""The example of CONTRIBUTING.md is a method: it goes through every check of one."""

import importlib
import re
import sys

import pytest
import torch

import workbench.methods.offline as offline
from tests import test_house_rules as rules
from tests.methods.test_every_method import mistake_problems, property_problem
from workbench import catalogue
from workbench.teach import check
from workbench.teach.properties import PROPERTIES

TEXT = (catalogue.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = dict(
    re.findall(r"<!-- example: (\S+) -->\n```python\n(.*?)```\n", TEXT, re.DOTALL)
)
METHOD = "workbench/methods/offline/hinge.py"
TEST = "tests/methods/offline/test_hinge.py"
NAME = "workbench.methods.offline.hinge"


@pytest.fixture
def hinge(tmp_path, monkeypatch):
    """The example, importable under the name it would have."""
    (tmp_path / "hinge.py").write_text(EXAMPLES[METHOD], encoding="utf-8")
    monkeypatch.setattr(offline, "__path__", [*offline.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield importlib.import_module(NAME)
    del sys.modules[NAME]
    del offline.hinge


@pytest.fixture
def its_tests(hinge, tmp_path):
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


def test_it_is_complete(hinge):
    assert catalogue.problems(hinge) == []


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_holds(hinge, name):
    assert property_problem(hinge, name) is None


def test_its_mistakes_differ_from_it(hinge):
    assert mistake_problems(hinge) == []


def test_its_own_tests_pass(hinge, its_tests):
    for each in its_tests["CHECKS"]:
        its_tests["test_hinge"](each)


def test_its_own_checks_catch_every_mistake(hinge, its_tests):
    for wrong in hinge.mistakes.values():
        with pytest.raises(AssertionError):
            for each in its_tests["CHECKS"]:
                each(wrong)


def test_catalogue_finds_it_without_another_edit(hinge):
    found = catalogue.methods()
    assert "hinge" in found
    assert catalogue.all_problems(found) == []
    assert "### hinge" in catalogue.methods_page(found)
    assert "Hinge on log-ratios" in catalogue.methods_markdown(catalogue.table(found))


def test_a_student_can_be_checked_on_it(hinge):
    assert check.hinge(hinge.loss)
    assert check.hinge(hinge.mistakes["2 no beta"]).mistake == "2 no beta"
    assert not check.hinge(lambda batch, cfg: torch.zeros(8))


@pytest.mark.parametrize(
    "rule",
    [rule for rule, files in rules.RULES.items() if set(rules.METHODS) <= set(files)],
    ids=lambda rule: rule.__name__,
)
def test_it_keeps_the_house_rules(rule):
    assert rule(METHOD, EXAMPLES[METHOD]) == []
