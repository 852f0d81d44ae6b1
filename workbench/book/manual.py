"""The library's public names from their docstrings, read without importing anything."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import workbench
from workbench.book.inert import directive, literal, spoken

ROOMS = {
    "core": "Statistics, divergences and small tools",
    "worlds": "Worlds whose every answer is known",
    "feedback": "Annotators, pairs, lists and thumbs",
    "models": "Policies, reward models and how they sample",
    "loops": "What trains a method",
    "measure": "What is measured of a trained policy",
    "experiment": "Whole experiments: train, compare, evaluate",
    "views": "Figures and instruments",
    "teach": "Predictions, checks and claims of the lessons",
}
PACKAGE = Path(workbench.__file__).parent
_SECTION = re.compile(
    r"(?m)^(Args|Returns|Raises|Attributes|Yields|Example|Note)s?:\s*$"
)
_ITEM = re.compile(r"(?m)^ {2,4}(?=\S)")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def pages(rooms: dict[str, str] | None = None) -> dict[str, str]:
    """Path -> Markdown of one page for each room, and of their index.

    Args:
        rooms: folder -> what it holds; all public ones unless told.
    """
    rooms = ROOMS if rooms is None else rooms
    lines = [
        f"- [`workbench.{name}`]({name}.md): {told}" for name, told in rooms.items()
    ]
    index = [
        "# Library", "Made from the docstrings; a method has a page of its own.",
        "\n".join(lines), directive("toctree", "\n".join(rooms), ":hidden:"),
    ]  # fmt: skip
    found = {"api/index.md": "\n\n".join(index)}
    for name, told in rooms.items():
        found[f"api/{name}.md"] = "\n\n".join(_room(name, told))
    return found


def _room(room: str, told: str) -> Iterator[str]:
    yield f"# workbench.{room}"
    yield f"{told}."
    for path in sorted((PACKAGE / room).rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(("workbench", *parts)).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        things = list(_things(tree, name))
        if parts[-1].startswith("_") and parts[-1] != "__init__":
            continue
        if things:
            yield f"## {literal(name.removeprefix(f'workbench.{room}.'))}"
            yield from _told(ast.get_docstring(tree) or "")
            yield from things


def _things(tree: ast.Module, module: str) -> Iterator[str]:
    """The public functions and classes of a module."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            if not any("overload" in ast.unparse(d) for d in node.decorator_list):
                yield _function(node, f"{module}.{node.name}", "py:function")
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield _class(node, f"{module}.{node.name}")


def _function(node: Function, name: str, kind: str) -> str:
    arguments = ast.unparse(node.args)
    if kind == "py:method":
        arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    body = "\n\n".join(_told(ast.get_docstring(node) or ""))
    return directive(kind, body, told=f"{name}({arguments}){returns}")


def _class(node: ast.ClassDef, name: str) -> str:
    parts = list(_told(ast.get_docstring(node) or ""))
    for child in node.body:
        if isinstance(child, Function) and not child.name.startswith("_"):
            parts.append(_function(child, f"{name}.{child.name}", "py:method"))
    bases = ", ".join(map(ast.unparse, node.bases))
    return directive("py:class", "\n\n".join(parts), told=f"{name}({bases})")


def _told(doc: str) -> Iterator[str]:
    """A docstring of Google's form as Markdown in which nothing acts."""
    parts = _SECTION.split(doc)
    for paragraph in re.split(r"\n\s*\n", parts[0].strip()):
        if paragraph.strip():
            yield _paragraph(paragraph)
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        # what stands at the margin again is no part of the section
        inside, outside = _indented(body)
        items = [item for item in _ITEM.split(inside) if item.strip()]
        lines = [f"- {_item(item)}" for item in items]
        yield f"*{heading}*\n\n" + "\n".join(lines)
        if outside.strip():
            yield _paragraph(outside)


def _indented(body: str) -> tuple[str, str]:
    lines = body.strip("\n").split("\n")
    for place, line in enumerate(lines):
        if line.strip() and not line.startswith(" "):
            return "\n".join(lines[:place]), "\n".join(lines[place:])
    return "\n".join(lines), ""


def _item(text: str) -> str:
    name, colon, told = text.partition(": ")
    if colon and re.fullmatch(r"[\w*, ]+", name):
        return f"`{name}`: {spoken(told)}"
    return spoken(text)


def _paragraph(text: str) -> str:
    """Prose, or a list or a listing with its lines."""
    lines = text.strip("\n").split("\n")
    if all(re.match(r"[*-] |  ", line) for line in lines):
        joined = re.split(r"(?m)^[*-] ", text.strip())
        return "\n".join(f"- {spoken(item)}" for item in joined if item.strip())
    return spoken(text)
