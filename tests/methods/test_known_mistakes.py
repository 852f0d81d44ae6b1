"""The docstring, the card and the runnable mistakes of a method agree."""

import importlib
import re
from pathlib import Path

import pytest

import workbench.methods
from tests.methods.caught import assert_caught

FOLDER = Path(workbench.methods.__file__).parent
MODULES = sorted(
    ".".join(("workbench.methods", *file.relative_to(FOLDER).with_suffix("").parts))
    for file in FOLDER.rglob("*.py")
    if not file.stem.startswith("_")
)


@pytest.mark.parametrize("name", MODULES)
def test_every_numbered_mistake_of_the_docstring_is_runnable(name):
    module = importlib.import_module(name)
    listed = re.findall(
        r"^ +\((\d+)\)", module.__doc__.split("Known mistakes:")[1], re.M
    )
    runnable = [key.split()[0] for key in module.mistakes]
    assert listed == runnable == [str(i + 1) for i in range(len(listed))]


@pytest.mark.parametrize("name", MODULES)
def test_the_card_is_filed_under_its_own_name(name):
    module = importlib.import_module(name)
    assert module.card.key == name.rpartition(".")[2]
    assert set(module.card.parents) <= {m.split(".")[-1] for m in MODULES}


def test_a_right_version_is_not_called_a_mistake():
    def holds(loss):
        assert loss() == 1

    with pytest.raises(AssertionError, match="holds sees anything wrong"):
        assert_caught(lambda: 1, [holds])
    assert_caught(lambda: 2, [holds])


def test_a_broken_check_is_no_catch():
    def broken(loss):
        raise KeyError("typo")

    with pytest.raises(KeyError):
        assert_caught(lambda: 2, [broken])
