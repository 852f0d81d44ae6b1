"""The settings of a method: each field of its ``Config``, and where it is from.

Read off the text like the cards; a ``Config`` that the text does not show in full is
imported instead, and then nothing is known of where its defaults come from.
"""

import ast
import dataclasses
import importlib
import inspect
import re
from dataclasses import MISSING, dataclass, replace

from workbench.catalogue.source import Source, Unclear, find


@dataclass(frozen=True)
class Setting:
    """One field of a method's ``Config``.

    Attributes:
        name: the field.
        kind: its annotation, as text.
        default: its default, as text if it is more than a literal; None if required.
        required: True if it has no default.
        source: where the default comes from.
        meaning: what it is, and its unit.
    """

    name: str
    kind: str
    default: object
    required: bool
    source: str = ""
    meaning: str = ""


def settings(module: str) -> tuple[Setting, ...]:
    """The settings of a method, in the order of its ``Config``.

    Args:
        module: full name of the method's module.
    """
    try:
        return tuple(_named(find(module), "Config").values())
    except Unclear:
        return _imported(module)


def _named(source: Source, name: str) -> dict[str, Setting]:
    """The fields of the class that a name of a module is bound to."""
    match source.binders(name):
        case [ast.ClassDef() as node]:
            return _fields(source, node)
        case [ast.Assign(targets=[ast.Name()], value=value)]:
            return _followed(source, source.full(value))
        case [ast.ImportFrom()]:
            return _followed(source, source.imports.get(name, ""))
    raise Unclear(name)


def _followed(source: Source, full: str) -> dict[str, Setting]:
    module, _, name = full.rpartition(".")
    if not module:
        raise Unclear(full)
    return _named(source if module == source.name else find(module), name)


def _fields(source: Source, node: ast.ClassDef) -> dict[str, Setting]:
    """Fields in the order of a dataclass: those of the bases first."""
    found: dict[str, Setting] = {}
    for base in reversed(node.bases):
        found |= _followed(source, source.full(base))
    own = [_field(source, line) for line in node.body if not _is_no_field(line)]
    marked = any("dataclass" in ast.unparse(d) for d in node.decorator_list)
    if node.keywords or (own and not marked):
        raise Unclear(node.name)
    found |= {setting.name: setting for setting in own}
    meanings = _meanings(ast.get_docstring(node) or "")
    return {
        name: replace(setting, meaning=meanings.get(name, setting.meaning))
        for name, setting in found.items()
    }


def _is_no_field(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr | ast.Pass | ast.FunctionDef)


def _field(source: Source, line: ast.stmt) -> Setting:
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)):
        raise Unclear(ast.unparse(line))
    kind = ast.unparse(line.annotation)
    default = ast.unparse(line.value) if line.value else ""
    # of these a dataclass makes something else than a field with that default
    if re.search(r"ClassVar|InitVar|KW_ONLY", kind) or re.match(r".*field\(", default):
        raise Unclear(ast.unparse(line))
    lines = range(line.lineno, line.end_lineno + 1)
    texts = [source.comments[n] for n in lines if n in source.comments]
    value = _value(line.value) if line.value else None
    return Setting(line.target.id, kind, value, not default, " ".join(texts))


def _value(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (TypeError, ValueError):
        return ast.unparse(node)


def _meanings(doc: str) -> dict[str, str]:
    """The entries below ``Attributes:`` of a class's docstring."""
    block = re.search(r"^Attributes:\n((?:[ ]+.*\n?|\n)*)", doc, re.MULTILINE)
    if not block:
        return {}
    parts = re.split(r"^ {4}(\w+): ", block.group(1), flags=re.MULTILINE)
    texts = (" ".join(text.split()) for text in parts[2::2])
    return dict(zip(parts[1::2], texts, strict=True))


def _imported(module: str) -> tuple[Setting, ...]:
    config = vars(importlib.import_module(module)).get("Config")
    if not dataclasses.is_dataclass(config):
        return ()
    meanings = _meanings(inspect.getdoc(config) or "")
    return tuple(
        Setting(
            name=field.name,
            kind=inspect.formatannotation(field.type),
            default=_told(field),
            required=field.default is field.default_factory is MISSING,
            meaning=meanings.get(field.name, ""),
        )
        for field in dataclasses.fields(config)
        if field.init
    )


def _told(field: dataclasses.Field) -> object:
    """A default as ``_value`` tells it."""
    made = field.default_factory
    default = field.default if made is MISSING else made()
    if default is MISSING:
        return None
    plain = isinstance(default, bool | int | float | str | tuple | list | dict | None)
    return default if plain else repr(default)
