"""The house rules of CONTRIBUTING.md, as tests.

A rule is a function of a path and a source text that returns sentences. Every rule runs
on every file it concerns, and on a bad example below that it must refuse.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "workbench"

# A layer imports only layers before it; the last line holds the programs on top.
LAYERS = (
    ("core",),
    ("worlds",),
    ("feedback",),
    ("models",),
    ("loops",),
    ("methods",),
    ("measure",),
    ("views",),
    ("catalogue",),
    ("teach",),
    ("experiment",),
    ("lesson",),
    ("runner",),
    ("book",),
    ("classroom",),
    ("cli",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

Function = ast.FunctionDef | ast.AsyncFunctionDef
METHOD_KEYS = {
    p.stem for p in PACKAGE.glob("methods/**/*.py") if not p.stem.startswith("_")
}


# ---- what a rule reads ------------------------------------------------------------


def code_lines(source: str, node: ast.AST | None = None) -> int:
    """Lines of a function's body without its docstring, or of a file.

    A signature is a declaration: typer's commands describe each option in theirs.
    """
    if node is None:
        return len(source.splitlines())
    doc = docstring_node(node)
    whole = node.end_lineno - node.body[0].lineno + 1
    return whole - (doc.end_lineno - doc.lineno + 1 if doc else 0)


def docstring_node(node: ast.AST) -> ast.Expr | None:
    """The expression that is a function's docstring."""
    first = node.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return first if is_text and isinstance(first.value.value, str) else None


def functions(source: str) -> Iterator[Function]:
    """Every function of a file, nested ones too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def comments(source: str) -> dict[int, str]:
    """Comments by line."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}


def layer_of(path: str) -> str | None:
    """``core`` for ``workbench/core/kl.py``, ``cli`` for ``workbench/cli.py``."""
    parts = Path(path).with_suffix("").parts
    return parts[1] if parts[0] == "workbench" and parts[1] in RANK else None


# ---- the rules --------------------------------------------------------------------


def imports_point_one_way(path: str, source: str) -> list[str]:
    """A layer imports itself and the layers before it."""
    here, found = layer_of(path), []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            found.append(f"line {node.lineno}: relative import")
            continue
        names = [a.name for a in getattr(node, "names", []) if hasattr(a, "name")]
        if isinstance(node, ast.ImportFrom):
            # `from workbench import x` imports the layer x
            names = [f"{node.module}.{name}" for name in names]
        elif not isinstance(node, ast.Import):
            continue
        for name in names:
            parts = name.split(".")
            there = parts[1] if parts[0] == "workbench" and len(parts) > 1 else None
            if here in RANK and RANK.get(there, -1) > RANK[here]:
                found.append(f"line {node.lineno}: {here} imports {there}")
    return found


def every_module_has_a_layer(path: str, source: str) -> list[str]:
    """A new folder or module on top must be given a place in LAYERS."""
    known = layer_of(path) or path in (
        "workbench/__init__.py",
        "workbench/__main__.py",
    )
    return [] if known else ["no layer of LAYERS holds this file"]


def functions_are_short(path: str, source: str) -> list[str]:
    """At most 40 lines, docstring and signature aside."""
    return [
        f"{node.name}: {code_lines(source, node)} lines"
        for node in functions(source)
        if code_lines(source, node) > 40
    ]


def arguments_are_few(path: str, source: str) -> list[str]:
    """At most 7 arguments by position; further ones are keyword-only."""
    found = []
    for node in functions(source):
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        many = [name for name in names if name not in ("self", "cls")]
        if len(many) > 7:
            found.append(f"{node.name} takes {len(many)} arguments by position")
    return found


def public_things_have_docstrings(path: str, source: str) -> list[str]:
    """Modules, and public functions, classes and methods."""
    tree = ast.parse(source)
    found = []
    if path.endswith("__init__.py") and not tree.body:
        found.append("empty file")
    elif not ast.get_docstring(tree):
        found.append("no module docstring")

    def visit(node: ast.AST, prefix: str) -> None:
        for child in node.body:
            if not isinstance(child, Function | ast.ClassDef):
                continue
            if not child.name.startswith("_"):
                overload = any("overload" in ast.dump(d) for d in child.decorator_list)
                if not ast.get_docstring(child) and not overload:
                    found.append(f"{prefix}{child.name} has no docstring")
                if isinstance(child, ast.ClassDef):
                    visit(child, f"{prefix}{child.name}.")

    visit(tree, "")
    return found


def method_file_is_short(path: str, source: str) -> list[str]:
    """At most 120 lines beside the docstring, which holds the mathematics."""
    doc = docstring_node(ast.parse(source)) if ast.parse(source).body else None
    doc_lines = doc.end_lineno - doc.lineno + 1 if doc else 0
    lines = code_lines(source) - doc_lines
    return [f"{lines} lines"] if lines > 120 else []


def loop_file_is_short(path: str, source: str) -> list[str]:
    """At most 150 lines."""
    lines = code_lines(source)
    return [f"{lines} lines"] if lines > 150 else []


def loss_is_short(path: str, source: str) -> list[str]:
    """A loss has at most 12 lines of body."""
    found = []
    for node in ast.parse(source).body:
        if isinstance(node, Function) and re.fullmatch(r"(\w+_)?loss", node.name):
            body = node.body[1:] if docstring_node(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if lines > 12:
                found.append(f"{node.name}: {lines} lines of body")
    return found


HEADINGS = (
    r"^Objective:",
    r"^Compared with [^\n:]+:",
    r"^Valid only if:",
    r"^(Minimiser|Fixed point):",
    r"^Known mistakes:",
)


def method_docstring_has_the_headings(path: str, source: str) -> list[str]:
    """One line, then the five headings in their order."""
    doc = ast.get_docstring(ast.parse(source)) or ""
    places = [re.search(pattern, doc, re.M) for pattern in HEADINGS]
    missing = [p for p, m in zip(HEADINGS, places, strict=True) if not m]
    if missing:
        return [f"no heading {pattern}" for pattern in missing]
    starts = [match.start() for match in places]
    if starts != sorted(starts):
        return ["the headings are out of order"]
    return [] if doc[: starts[0]].strip() else ["no first line"]


def config_defaults_have_a_source(path: str, source: str) -> list[str]:
    """Every default of Config says in a trailing comment where it comes from."""
    texts, found = comments(source), []
    for node in ast.parse(source).body:
        if not (isinstance(node, ast.ClassDef) and node.name == "Config"):
            continue
        for field in node.body:
            if not isinstance(field, ast.AnnAssign) or field.value is None:
                continue
            lines = range(field.lineno, field.end_lineno + 1)
            if not any(len(texts.get(line, "").strip("# ")) > 2 for line in lines):
                found.append(f"Config.{field.target.id} has no provenance")
    return found


def method_hides_nothing(path: str, source: str) -> list[str]:
    """No **kwargs, getattr, hasattr or setattr."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function | ast.Lambda) and node.args.kwarg:
            found.append(f"line {node.lineno}: **{node.args.kwarg.arg}")
        if isinstance(node, ast.Name) and node.id in ("getattr", "hasattr", "setattr"):
            found.append(f"line {node.lineno}: {node.id}")
    return found


def method_is_pure(path: str, source: str) -> list[str]:
    """No model, optimiser, device, logging or item() in a method."""
    banned = re.compile(
        r"\b(torch\.optim|nn\.Module|AutoModel|tqdm|logging|print)\b"
        r"|\.(item|cuda|backward)\(|\.to\([\"']"
    )
    tree = ast.parse(source)
    spans = [
        range(doc.lineno, doc.end_lineno + 1)
        for node in (tree, *functions(source))
        if (doc := docstring_node(node))
    ]
    return [
        f"line {number}: {match.group()}"
        for number, line in enumerate(source.splitlines(), 1)
        if (match := banned.search(line.split("#")[0]))
        and not any(number in span for span in spans)
    ]


def loop_names_no_method(path: str, source: str) -> list[str]:
    """No string of a loop is the name of a method: nothing is chosen by name."""
    return [
        f"line {node.lineno}: the string {node.value!r}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value in METHOD_KEYS | {"dpo"}
    ]


def shapes_are_not_postponed(path: str, source: str) -> list[str]:
    """``from __future__ import annotations`` would switch the shape checks off."""
    return [
        f"line {node.lineno}: postponed annotations"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
    ]


def nothing_is_unpickled(path: str, source: str) -> list[str]:
    """No pickle, no torch.load, no remote code: files come from strangers."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            names = [module] if module else [a.name for a in node.names]
            banned = {"pickle", "dill", "shelve"}
            found += [f"line {node.lineno}: {n}" for n in names if n in banned]
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            loose = any(
                k.arg == "trust_remote_code" and ast.unparse(k.value) != "False"
                for k in node.keywords
            )
            safe = any(
                k.arg == "weights_only" and ast.unparse(k.value) == "True"
                for k in node.keywords
            )
            # joblib's processes are our own; its files are pickles
            unsafe = call == "joblib.load" or (call == "torch.load" and not safe)
            if loose or unsafe:
                found.append(f"line {node.lineno}: {call}")
    return found


# in two pieces, or this file would break its own rule
MACHINE_PATH = re.compile(r"(?<![\w.\-~<])/" + r"(work|root|home|tmp)/\w")


def no_machine_paths(path: str, source: str) -> list[str]:
    """No folder of the machine a file was written on."""
    return [
        f"line {number}: {match.group()}"
        for number, line in enumerate(source.splitlines(), 1)
        if (match := MACHINE_PATH.search(line))
    ]


# ---- which files each rule reads --------------------------------------------------


def tracked() -> list[Path]:
    """Files git knows or would add; outside a checkout, all but built folders."""
    asked = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        names = done.stdout.decode().split("\0")
        found = [ROOT / name for name in names if name]
    else:
        found = list(ROOT.rglob("*"))
    built = {".venv", ".git", "build", "site", "__pycache__", ".ipynb_checkpoints"}
    return sorted(
        p for p in found if p.is_file() and not built & set(p.relative_to(ROOT).parts)
    )


LIBRARY = sorted(p for p in PACKAGE.rglob("*.py"))
METHODS = [p for p in LIBRARY if PACKAGE / "methods" in p.parents]
METHODS = [p for p in METHODS if not p.stem.startswith("_")]
LOOPS = [p for p in LIBRARY if p.parent.name == "loops"]
TEXTS = [p for p in tracked() if b"\0" not in p.read_bytes()]

Rule = Callable[[str, str], list[str]]
RULES: dict[Rule, list[Path]] = {
    imports_point_one_way: LIBRARY,
    every_module_has_a_layer: LIBRARY,
    functions_are_short: LIBRARY,
    arguments_are_few: LIBRARY,
    public_things_have_docstrings: LIBRARY,
    shapes_are_not_postponed: LIBRARY,
    nothing_is_unpickled: LIBRARY,
    method_file_is_short: METHODS,
    loss_is_short: METHODS,
    method_docstring_has_the_headings: METHODS,
    config_defaults_have_a_source: METHODS,
    method_hides_nothing: METHODS,
    method_is_pure: METHODS,
    loop_file_is_short: LOOPS,
    loop_names_no_method: LOOPS,
    no_machine_paths: TEXTS,
}


def rooms_that_share_a_name(paths: list[Path]) -> list[str]:
    """Names of files that lie in two rooms: `from a import x` then says little.

    Each package has an ``__init__``, and a program may have a ``__main__``.
    """
    rooms: dict[str, set[str]] = {}
    for path in paths:
        room = path.relative_to(PACKAGE).parts[0]
        rooms.setdefault(path.stem, set()).add(room)
    return [
        f"{name}: {', '.join(sorted(found))}"
        for name, found in sorted(rooms.items())
        if len(found) > 1 and not name.startswith("__")
    ]


def test_no_name_of_a_file_lies_in_two_rooms():
    assert rooms_that_share_a_name(LIBRARY) == []
    twice = [PACKAGE / "core" / "exact.py", PACKAGE / "views" / "exact.py"]
    assert rooms_that_share_a_name(twice) == ["exact: core, views"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_rule(rule):
    assert RULES[rule], f"{rule.__name__} reads no file"
    found = []
    for file in RULES[rule]:
        path = file.relative_to(ROOT).as_posix()
        found += [f"{path}: {p}" for p in rule(path, file.read_text(encoding="utf-8"))]
    assert not found, "\n" + "\n".join(found)


# ---- each rule refuses something --------------------------------------------------

SKELETON = '''"""One line.

Objective: L = x.
Compared with DPO: nothing.
Valid only if: always.
Minimiser: none.
Known mistakes: (1) sign.
"""
'''
LONG = "def f(x):\n" + "    x = x + 1\n" * 41
BAD = [
    (imports_point_one_way, "workbench/core/a.py", "import workbench.worlds.reviews"),
    (imports_point_one_way, "workbench/core/a.py", "from workbench import loops"),
    (imports_point_one_way, "workbench/methods/a.py", "from workbench.views import x"),
    (imports_point_one_way, "workbench/core/a.py", "from ..worlds import reviews"),
    (
        imports_point_one_way,
        "workbench/worlds/a.py",
        "def f():\n    from workbench.views import fig",
    ),
    (every_module_has_a_layer, "workbench/misc/a.py", ""),
    (functions_are_short, "a.py", LONG),
    (arguments_are_few, "a.py", "def f(a, b, c, d, e, f, g, h): ..."),
    (public_things_have_docstrings, "a.py", "x = 1"),
    (public_things_have_docstrings, "a.py", '"""M."""\ndef f(): ...'),
    (public_things_have_docstrings, "a.py", '"""M."""\nclass A:\n    x = 1'),
    (
        public_things_have_docstrings,
        "a.py",
        '"""M."""\nclass A:\n    """A."""\n    def f(self): ...',
    ),
    (public_things_have_docstrings, "a/__init__.py", ""),
    (shapes_are_not_postponed, "a.py", "from __future__ import annotations"),
    (nothing_is_unpickled, "a.py", "import pickle"),
    (nothing_is_unpickled, "a.py", "torch.load('x')"),
    (nothing_is_unpickled, "a.py", "joblib.load('x')"),
    (nothing_is_unpickled, "a.py", "AutoModel.load('x', trust_remote_code=True)"),
    (method_file_is_short, "a.py", "\n" * 121),
    (loop_file_is_short, "a.py", "\n" * 151),
    (loss_is_short, "a.py", "def loss(b, c):\n" + "    b = b\n" * 13),
    (loss_is_short, "a.py", "def value_loss(b, c):\n" + "    b = b\n" * 13),
    (method_docstring_has_the_headings, "a.py", "x = 1"),
    (
        method_docstring_has_the_headings,
        "a.py",
        SKELETON.replace("Minimiser:", "Optimum:"),
    ),
    (
        method_docstring_has_the_headings,
        "a.py",
        SKELETON.replace("Objective: L = x.\n", "").replace(
            "Minimiser", "Objective: L.\nMinimiser"
        ),
    ),
    (method_docstring_has_the_headings, "a.py", SKELETON.replace("One line.", "")),
    (config_defaults_have_a_source, "a.py", "class Config:\n    beta: float = 0.1"),
    (config_defaults_have_a_source, "a.py", "class Config:\n    b: float = 0.1  #"),
    (method_hides_nothing, "a.py", "def loss(b, **kwargs): ..."),
    (method_hides_nothing, "a.py", "x = getattr(a, 'b')"),
    (method_hides_nothing, "a.py", "x = hasattr(a, 'b')"),
    (method_is_pure, "a.py", "x = loss.item()"),
    (method_is_pure, "a.py", "x = y.to('cuda')"),
    (method_is_pure, "a.py", "optimiser = torch.optim.Adam(p)"),
    (loop_names_no_method, "a.py", "if name == 'dpo': pass"),
    (no_machine_paths, "a.md", "see /" + "home/me/file.txt"),
    (no_machine_paths, "a.json", '{"path": "/' + 'tmp/x"}'),
    (no_machine_paths, "a.json", '"in /' + 'work/main"'),
]
GOOD = [
    (imports_point_one_way, "workbench/methods/a.py", "from workbench.loops import x"),
    (imports_point_one_way, "workbench/core/a.py", "from workbench.core import kl"),
    (every_module_has_a_layer, "workbench/core/a.py", ""),
    (arguments_are_few, "a.py", "def f(self, a, b, c, *, d, e, f, g, h): ..."),
    (functions_are_short, "a.py", 'def f(x):\n    """' + "word\n" * 50 + '"""'),
    (nothing_is_unpickled, "a.py", "torch.load('x', weights_only=True)"),
    (loss_is_short, "a.py", "def loss(b, c):\n" + "    b = b\n" * 12),
    (method_docstring_has_the_headings, "a.py", SKELETON),
    (config_defaults_have_a_source, "a.py", "class Config:\n    b: int = 1  # paper"),
    (loop_names_no_method, "a.py", "path = 'metrics'"),
    (no_machine_paths, "a.md", "https://x.org/" + "home/me and our/" + "work/x"),
]


@pytest.mark.parametrize(("rule", "path", "source"), BAD)
def test_rule_refuses(rule, path, source):
    assert rule(path, source), f"{rule.__name__} lets {source!r} pass"


@pytest.mark.parametrize(("rule", "path", "source"), GOOD)
def test_rule_allows(rule, path, source):
    assert rule(path, source) == []


def test_every_rule_has_a_bad_example():
    assert {rule for rule, _, _ in BAD} == set(RULES)


def test_import_of_the_package_is_cheap():
    """`import workbench` brings in none of the packages that cost seconds."""
    heavy = "torch transformers pandas numpy matplotlib plotly IPython peft".split()
    code = f"import sys, workbench; print([m for m in {heavy} if m in sys.modules])"
    asked = [sys.executable, "-c", code]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
