"""What `show` renders is the library's source, whole and escaped."""

import html
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from workbench.core import kl, statistics
from workbench.core.card import Card
from workbench.teach import show


def text_of(markup: str) -> str:
    """The text a browser would show."""
    return html.unescape(re.sub(r"<[^>]+>", "", markup))


def test_function_is_shown_whole_and_alone():
    shown = show(statistics.interval)
    assert shown.code.startswith("def interval(")
    assert shown.code.rstrip().endswith("return mean, mean - half, mean + half")
    assert "Mean and its 95 % Student interval." in shown.code
    assert "import torch" not in shown.code


def test_class_keeps_its_decorator():
    assert show(Card).code.startswith("@dataclass(frozen=True)\nclass Card:")


def test_module_is_shown_from_docstring_to_end():
    assert show(kl).code == Path(kl.__file__).read_text(encoding="utf-8").rstrip("\n")


def test_place_names_lines_and_no_folder_of_this_machine():
    shown = show(statistics.interval)
    lines, start = inspect.getsourcelines(inspect.unwrap(statistics.interval))
    last = start + len(lines) - 1
    assert shown.place == f"workbench/core/statistics.py, lines {start}–{last}"


@pytest.mark.parametrize("obj", [statistics.interval, Card, kl])
def test_html_shows_every_character_of_the_code(obj):
    bundle = show(obj)._repr_mimebundle_()
    assert show(obj).code in text_of(bundle["text/html"])
    assert show(obj).code in bundle["text/plain"]
    assert 'style="color:' in bundle["text/html"].replace(": ", ":")


def test_code_is_escaped(tmp_path):
    file = tmp_path / "student.py"
    file.write_text("def f():\n    return '<script>alert(1)</script>'\n")
    spec = importlib.util.spec_from_file_location("student", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    markup = show(module.f)._repr_mimebundle_()["text/html"]
    assert "<script>" not in markup and "alert(1)" in markup


def test_method_is_unindented():
    assert show(Sample.inner).code.startswith("def inner")


class Sample:
    """A class with a method to show."""

    def inner(self):
        """Nothing."""
        return 1


@pytest.mark.parametrize("obj", [3, "text", len, {"a": 1}])
def test_values_and_builtins_have_no_source(obj):
    with pytest.raises(TypeError, match="needs a function, class or module"):
        show(obj)
