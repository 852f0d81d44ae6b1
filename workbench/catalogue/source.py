"""A module as text: what its names are bound to, without running it."""

import ast
import importlib.util
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec

DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Unclear(Exception):
    """The text does not tell without being run: import the module instead."""


@dataclass(frozen=True)
class Source:
    """The text of one module.

    Attributes:
        name: the module's full name.
        text: its source.
    """

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text."""
        return ast.parse(self.text, filename=self.name)

    @cached_property
    def imports(self) -> dict[str, str]:
        """Names that statements of the module import, and what they stand for."""
        return dict(pair for node in self.tree.body for pair in _imported(node))

    @cached_property
    def comments(self) -> dict[int, str]:
        """The comment of each line that has one, without its ``#``."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {
            token.start[0]: token.string.strip("# ")
            for token in tokens
            if token.type == tokenize.COMMENT
        }

    def binders(self, name: str) -> list[ast.stmt]:
        """The statements of the module that may bind a name."""
        # a walk over every statement would take as long as parsing them
        near = {
            number
            for number, line in enumerate(self.text.split("\n"), start=1)
            if name in line or ("import" in line and "*" in line)
        }
        return [
            node
            for node in (self.tree.body if near else ())
            if not near.isdisjoint(range(node.lineno, node.end_lineno + 1))
            and {name, "*"} & set(_bound(node))
        ]

    def full(self, node: ast.expr | None) -> str:
        """The full dotted name of an expression such as ``dpo.Config``.

        Raises:
            Unclear: the expression is none, or its first name has several meanings.
        """
        dotted = ast.unparse(node) if node is not None else ""
        head, dot, rest = dotted.partition(".")
        named = all(part.isidentifier() for part in dotted.split("."))
        if not named or len(self.binders(head)) != 1:
            raise Unclear(dotted)
        return f"{self.imports.get(head, f'{self.name}.{head}')}{dot}{rest}"


def read(spec: ModuleSpec | None) -> Source:
    """The source of a module that was found and is not imported.

    Raises:
        Unclear: it has none.
    """
    if spec is None or not isinstance(spec.loader, InspectLoader):
        raise Unclear("no loader")
    text = spec.loader.get_source(spec.name)
    if text is None:
        raise Unclear(f"{spec.name} has no source")
    return Source(spec.name, text)


def find(name: str) -> Source:
    """The source of a module by its name; only the packages above it are imported.

    Raises:
        Unclear: there is none.
    """
    try:
        return read(importlib.util.find_spec(name))
    except (ImportError, ValueError) as error:
        raise Unclear(name) from error


def _imported(node: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.ImportFrom) and not node.level:
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"
    elif isinstance(node, ast.Import):
        for alias in node.names:
            head = alias.name.partition(".")[0]
            yield (alias.asname, alias.name) if alias.asname else (head, head)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a statement of a module may bind, rather too many than too few."""
    if isinstance(statement, DEFINITIONS):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
