"""Render library source in a notebook, so that it is read and never pasted."""

import ast
import html
import inspect
import linecache
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

BACKGROUND = "#f8f8f8"


@dataclass(frozen=True)
class Source:
    """A piece of source code and the place it stands.

    Attributes:
        name: qualified name, e.g. ``workbench.methods.direct.links.dpo.loss``.
        place: file below the package's folder, with its lines.
        code: the text, unindented.
    """

    name: str
    place: str
    code: str

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def __repr__(self) -> str:
        return f"# {self.name} ({self.place})\n{self.code}"

    def _html(self) -> str:
        # the background is fixed: the colours must stay readable on a dark theme
        box = f"background:{BACKGROUND};color:#000;padding:8px;overflow-x:auto"
        head = f"{html.escape(self.name)} · {html.escape(self.place)}"
        return (
            f'<div style="{box}"><div style="color:#555;font-size:85%">{head}</div>'
            f'<pre style="margin:4px 0 0;background:{BACKGROUND};color:#000">'
            f"{_coloured(self.code)}</pre></div>"
        )


def _coloured(code: str) -> str:
    """Inline HTML of Python code; plain escaped text where pygments is missing."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
    except ModuleNotFoundError:
        return html.escape(code)
    formatter = HtmlFormatter(noclasses=True, nowrap=True, style="friendly")
    return highlight(code, PythonLexer(stripnl=False), formatter)


def _place(obj: object, first: int, lines: int) -> str:
    module = obj.__name__ if isinstance(obj, ModuleType) else obj.__module__
    if module == "__main__":
        return "this notebook"
    path = Path(inspect.getfile(obj))
    # a path from the package's name on: absolute paths differ between machines
    depth = module.count(".") + (path.name == "__init__.py")
    shown = "/".join(path.parts[-depth - 1 :])
    return f"{shown}, lines {first}–{first + lines - 1}"


def _lines(target: object) -> tuple[list[str], int]:
    """The lines of an object and the number of the first, decorators included.

    They are looked up by name: the number that Python keeps for a class is that of its
    first decorator as it was compiled, and an import hook may have put one there.
    """
    if isinstance(target, ModuleType):
        return inspect.getsourcelines(target)
    file, module = inspect.getsourcefile(target), inspect.getmodule(target)
    linecache.checkcache(file)
    lines = linecache.getlines(file, vars(module) if module else None)
    try:
        found = list(_defined("".join(lines), target.__qualname__))
    except SyntaxError:
        found = []
    if not found:  # a lambda, or a cell with a magic command
        return inspect.getsourcelines(target)
    code = getattr(target, "__code__", None)
    at = code.co_firstlineno if code else getattr(target, "__firstlineno__", 0)
    # of several with this name the one that holds the line; the last one is in force
    inside = [(first, last) for first, last in found if first <= at <= last]
    first, _ = (inside or found)[-1]
    return inspect.getblock(lines[first - 1 :]), first


def _defined(source: str, name: str) -> Iterator[tuple[int, int]]:
    """First and last lines of the definitions with a qualified name, in order."""

    def visit(node: ast.AST, outside: str) -> Iterator[tuple[int, int]]:
        for child in ast.iter_child_nodes(node):
            inside = outside
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if outside + child.name == name:
                    marks = [child, *child.decorator_list]
                    yield min(mark.lineno for mark in marks), child.end_lineno
                local = "." if isinstance(child, ast.ClassDef) else ".<locals>."
                inside = outside + child.name + local
            yield from visit(child, inside)

    return visit(ast.parse(source), "")


def show(obj: object) -> Source:
    """The source of a function, class or module, whole, with syntax colours.

    Args:
        obj: what to show. Of a function or class only its own lines are shown, with
            its docstring and comments; of a module, the file.

    Returns:
        an object that Jupyter renders with colours and a terminal as text.

    Raises:
        TypeError: the object has no Python source (a value, a builtin).
    """
    target = inspect.unwrap(obj) if callable(obj) else obj
    try:
        lines, start = _lines(target)
        place = _place(target, max(start, 1), len(lines))
    except (TypeError, OSError, AttributeError) as error:
        kind = type(obj).__name__
        raise TypeError(
            f"show needs a function, class or module with Python source, got a {kind}"
        ) from error
    name = target.__name__
    if not isinstance(target, ModuleType):
        name = f"{target.__module__}.{target.__qualname__}"
    code = textwrap.dedent("".join(lines)).rstrip("\n")
    return Source(name=name, place=place, code=code)
