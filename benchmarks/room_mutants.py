"""Break a module of a room in one place at a time: do the tests of its room notice?

    python benchmarks/mutants.py loops worlds.gold --sample 60 --minutes 20

The code of methods has checks that can be called (``mutants.py``); here the tests are
what pytest runs. Each mutant is written into a copy of the repository, in which first
the tests of the room run that import the module, then the rest of the room's. It is
killed when a test fails or they take too long; it survives when all pass. Whether a
survivor is equivalent, somebody has to say: see ``EQUIVALENT``. Test files that fail
without a mutant are named and left out.
"""

import ast
import copy
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("core", "feedback", "loops", "measure", "models", "worlds")
COPIED = ("workbench", "tests", "pyproject.toml")
SECONDS = 300  # of one mutant's tests

# Mutants that no test can tell from the original: function, edit and line, and why.
EQUIVALENT: dict[str, dict[tuple[str, str, str], str]] = {
    "worlds.tree": {
        (
            "paths",
            "USub dropped in `-1`",
            "nodes = torch.full((len(responses), self.depth), -1, "
            "device=responses.device)",
        ): "every column is written over"
    },
    "core.progress": {
        (
            "_draw",
            "other edge in `now - self._place.drawn < self._place.every`",
            "if now - self._place.drawn < self._place.every:",
        ): "two readings of a clock do not differ by exactly this"
    },
}

COMPARED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
NAMES = {
    "sum": "mean", "mean": "sum", "min": "max", "max": "min", "amin": "amax",
    "amax": "amin", "minimum": "maximum", "maximum": "minimum", "argmax": "argmin",
    "chosen": "rejected", "rejected": "chosen", "first": "second", "second": "first",
    "policy": "ref", "ref": "policy", "old": "policy", "exp": "expm1", "log": "log1p",
}  # fmt: skip
COMMUTE = {"min", "max", "minimum", "maximum", "isinstance", "allclose"}
QUIET = (ast.Raise, ast.JoinedStr, ast.Assert, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Mutant:
    """A module with one place broken.

    Attributes:
        module: below ``workbench``, such as ``loops.online``.
        function: where the place is.
        what: what is done there, to which expression.
        line: the line of code, as it was.
        number: of the line.
        source: the code of the broken module.
    """

    module: str
    function: str = ""
    what: str = ""
    line: str = ""
    number: int = 0
    source: str = ""

    @property
    def path(self) -> Path:
        """The module's file, from the root of the repository."""
        return Path("workbench", *self.module.split(".")).with_suffix(".py")

    @property
    def room(self) -> str:
        """The folder of its tests."""
        return self.module.split(".")[0]


def edits(node: ast.AST) -> Iterator[tuple[str, Callable[[], ast.AST]]]:
    """The mutations of one node: what is done, and what makes the new node."""
    match node:
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert() as op, operand=inner):
            yield f"{type(op).__name__} dropped", lambda: inner
        case ast.BinOp(op=op) if type(op) in COMPUTED:
            yield "other sign", lambda: changed(node, op=COMPUTED[type(op)]())
        case ast.AugAssign(op=op) if type(op) in COMPUTED:
            yield "other sign", lambda: changed(node, op=COMPUTED[type(op)]())
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            yield "other edge", lambda: changed(node, ops=[COMPARED[type(op)]()])
        case ast.BoolOp(op=op):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "and for or", lambda: changed(node, op=other)
        case ast.IfExp(body=one, orelse=two):
            yield "branches swapped", lambda: changed(node, body=two, orelse=one)
        case ast.If(test=test):
            wrong = ast.UnaryOp(ast.Not(), test)
            yield "condition negated", lambda: changed(node, test=wrong)
        case ast.Constant(value=int() | float() as value) if value is not True:
            if value is not False:
                yield f"{value} + 1", lambda: ast.Constant(value + 1)
        case ast.Attribute(attr=name) if name in NAMES:
            yield f"{NAMES[name]} for it", lambda: changed(node, attr=NAMES[name])
        case ast.Call(func=ast.Attribute(value=inner, attr="detach")):
            yield "detach dropped", lambda: inner
        case ast.Call(args=[one, two, *rest]) if ast.dump(one) != ast.dump(two):
            starred = any(isinstance(arg, ast.Starred) for arg in node.args)
            if not starred and ast.unparse(node.func).split(".")[-1] not in COMMUTE:
                swapped = [two, one, *rest]
                yield "arguments swapped", lambda: changed(node, args=swapped)


def changed(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of a node with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def sites(tree: ast.Module) -> Iterator[tuple[str, ast.AST, str, Callable]]:
    """Every place of the functions of a module that can be broken, in order."""
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    seen: set[int] = set()
    for function in functions:
        if function.name in ("__repr__", "example"):
            continue
        for statement in function.body:
            for node in _spoken(statement):
                if id(node) in seen:  # of a function within a function
                    continue
                seen.add(id(node))
                for what, make in edits(node):
                    yield function.name, node, what, make


def _spoken(node: ast.AST) -> Iterator[ast.AST]:
    """A node and those below it, without annotations and what is said of errors."""
    if isinstance(node, QUIET):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _spoken(child)


class _Replace(ast.NodeTransformer):
    def __init__(self, target: ast.AST, new: ast.AST):
        self.target, self.new = target, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.target else self.generic_visit(node)


def code(module: str) -> str:
    """The source of a module below ``workbench``."""
    return (ROOT / Mutant(module).path).read_text(encoding="utf-8")


def mutant(module: str, index: int) -> Mutant:
    """One mutant of a module, by its place in ``sites``."""
    source = code(module)
    tree = ast.parse(source)
    function, node, done, make = list(sites(tree))[index]
    what, number = f"{done} in `{_short(node)}`", node.lineno
    line = source.splitlines()[number - 1].strip()
    wrong = ast.fix_missing_locations(_Replace(node, make()).visit(tree))
    return Mutant(module, function, what, line, number, ast.unparse(wrong))


def _short(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0][:60]


def modules(wanted: list[str]) -> list[str]:
    """The modules of some rooms, or those named; all rooms if nothing is named."""
    found = []
    for path in sorted((ROOT / "workbench").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "workbench").with_suffix("").parts)
        if name.split(".")[0] in ROOMS and path.name != "__init__.py":
            found.append(name)
    if not wanted:
        return found
    return [n for n in found if any(f"{n}.".startswith(f"{w}.") for w in wanted)]


def tests_of(mutant: Mutant) -> tuple[list[str], list[str]]:
    """Test files of the room: those that import the module, and the others."""
    *package, name = ("workbench", *mutant.module.split("."))
    near, far = [], []
    for path in sorted((ROOT / "tests" / mutant.room).rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        whole = ".".join([*package, name])
        here = any(
            n.module == whole
            or (n.module == ".".join(package) and name in {a.name for a in n.names})
            for n in imports
        )
        (near if here else far).append(path.relative_to(ROOT).as_posix())
    return near, far


class _FirstFailure:
    """A plugin of pytest that sends the file of the first failure through a pipe."""

    def __init__(self, sender: Connection):
        self.sender = sender

    def _look(self, report) -> None:
        if report.failed:
            self.sender.send(report.nodeid.split("::")[0])

    pytest_runtest_logreport = pytest_collectreport = _look


def _pytest(folder: str, files: list[str], sender: Connection) -> None:
    """Run in a process of its own: exits with pytest's status."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    for name in list(sys.modules):  # those of the repository itself
        if name.split(".")[0] in ("workbench", "tests"):
            del sys.modules[name]
    import pytest

    options = ["-x", "-q", "-n0", "-p", "no:cacheprovider"]
    status = int(pytest.main([*options, *files], plugins=[_FirstFailure(sender)]))
    os._exit(status)


def failing(folder: Path, files: list[str], seconds: float = SECONDS) -> str | None:
    """The first of these test files that fails in a copy of the repository.

    Returns:
        None if all pass; the last file where none was named: pytest was stuck or died.
    """
    if not files:
        return None
    # forked after torch was imported: that is half of a short test's time
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_pytest, args=(str(folder), files, sender))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    if process.exitcode == 0:
        return None
    return receiver.recv() if receiver.poll() else files[-1]


def copied() -> Path:
    """A copy of what the tests need."""
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    ignore = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    return folder


def killed(mutant: Mutant, folder: Path, sound: dict[str, bool]) -> bool:
    """Whether a test of the room fails with this mutant and without it passes.

    Args:
        mutant: the broken module.
        folder: a copy of the repository.
        sound: whether a test file passes as it is, as far as is known; grows.
    """
    path = folder / mutant.path
    original = path.read_text(encoding="utf-8")
    for files in tests_of(mutant):
        while files := [file for file in files if sound.get(file, True)]:
            path.write_text(mutant.source, encoding="utf-8")
            try:
                failed = failing(folder, files)
            finally:
                path.write_text(original, encoding="utf-8")
            if failed is None:
                break
            if failed not in sound:
                sound[failed] = failing(folder, [failed]) is None
                if not sound[failed]:
                    print(f"left out, it fails as it is: {failed}", flush=True)
            if sound[failed]:
                return True
    return False


def examine(
    wanted: list[str], *, sample: int, seed: int, minutes: float, jobs: int
) -> int:
    """Try mutants of rooms in a random order, print a table, count the survivors."""
    import torch  # noqa: F401 - before any fork

    places = [
        (module, index)
        for module in modules(wanted)
        for index, _ in enumerate(sites(ast.parse(code(module))))
    ]
    random.Random(seed).shuffle(places)
    chosen = places[:sample] if sample else places
    folders: Queue[Path] = Queue()
    counts: dict[str, list[int]] = {}
    alive, sound, ends = 0, {}, time.monotonic() + 60 * minutes

    def one(place: tuple[str, int]) -> tuple[Mutant, bool] | None:
        if time.monotonic() > ends:
            return None
        folder, made = folders.get(), mutant(*place)
        try:
            return made, killed(made, folder, sound)
        finally:
            folders.put(folder)

    for _ in range(jobs):
        folders.put(copied())
    try:
        with ThreadPoolExecutor(jobs) as pool:
            for made, dead in filter(None, pool.map(one, chosen)):
                key = (made.function, made.what, made.line)
                same = key in EQUIVALENT.get(made.module, {})
                column = 0 if dead else 1 if same else 2
                counts.setdefault(made.room, [0, 0, 0])[column] += 1
                if column == 2:
                    alive += 1
                    place = f"{made.module}.{made.function}, line {made.number}"
                    print(f"    {place}: {made.what}", flush=True)
    finally:
        while not folders.empty():
            shutil.rmtree(folders.get())
    print(f"{'room':16} killed  equivalent  survived")
    for room, (dead, same, lives) in sorted(counts.items()):
        print(f"{room:16} {dead:6}  {same:10}  {lives:8}")
    tried = sum(map(sum, counts.values()))
    print(f"{tried} of {len(places)} mutants were tried")
    return alive
