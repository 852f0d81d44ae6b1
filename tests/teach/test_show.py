"""What `show` renders is the library's source, whole and escaped."""

import html
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import FunctionType

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


SHAPES = '''"""A module."""

def mark(thing):
    return thing


@mark
class Plain:
    """Plain."""


class Outer:
    @mark
    @mark
    class Inner:
        """Nested."""

    @mark
    def method(self):
        """Of a class."""
        # its last line


def make():
    @mark
    def local():
        """Local."""

    @mark
    class Local:
        """Local."""

    return local, Local


@mark
def twice():
    """The first of this name."""


first = twice


@mark
def twice():
    """The second of this name."""


@mark
async def later():
    """Of another kind."""
'''


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A module with many kinds of definitions, imported."""
    file = tmp_path_factory.mktemp("shapes") / "shapes.py"
    file.write_text(SHAPES)
    spec = importlib.util.spec_from_file_location("shapes", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["shapes"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["shapes"]


def moved(thing, by: int):
    """A definition whose line number is off, as an import hook may leave it."""
    if isinstance(thing, type):
        if by and "__firstlineno__" in vars(thing):
            thing.__firstlineno__ += by
        return thing
    code = thing.__code__
    return FunctionType(
        code.replace(co_firstlineno=code.co_firstlineno + by), {}, thing.__name__
    )


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize(
    ("find", "text"),
    [
        (lambda m: m.Plain, '@mark\nclass Plain:\n    """Plain."""'),
        (lambda m: m.Outer.Inner, '@mark\n@mark\nclass Inner:\n    """Nested."""'),
        (
            lambda m: m.Outer.method,
            '@mark\ndef method(self):\n    """Of a class."""\n    # its last line',
        ),
        (lambda m: m.make()[0], '@mark\ndef local():\n    """Local."""'),
        (lambda m: m.make()[1], '@mark\nclass Local:\n    """Local."""'),
        (lambda m: m.first, '@mark\ndef twice():\n    """The first of this name."""'),
        (lambda m: m.twice, '@mark\ndef twice():\n    """The second of this name."""'),
        (lambda m: m.later, '@mark\nasync def later():\n    """Of another kind."""'),
    ],
    ids="class nested method local local-class first second async".split(),
)
def test_a_definition_is_shown_with_its_decorators_even_if_its_line_is_off(
    shapes, find, text, by
):
    thing = find(shapes)
    name, module = thing.__qualname__, thing.__module__
    thing = moved(thing, by)
    thing.__qualname__, thing.__module__ = name, module
    shown = show(thing)
    assert shown.code == text
    first = int(re.search(r"lines (\d+)", shown.place).group(1))
    assert SHAPES.splitlines()[first - 1].strip() == "@mark"


def test_a_lambda_is_shown_as_the_line_it_stands_in():
    assert "lambda x: x + 1" in show(lambda x: x + 1).code
