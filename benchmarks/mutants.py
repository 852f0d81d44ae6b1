"""Break the code in one place at a time: do its own tests notice?

    python benchmarks/mutants.py                     # methods with a loss, all rooms
    python benchmarks/mutants.py dpo kto             # some methods
    python benchmarks/mutants.py methods             # all of them
    python benchmarks/mutants.py loops worlds.gold --sample 60 --minutes 20

Rooms (core, feedback, loops, measure, models, worlds) are broken in ``room_mutants.py``
and judged by pytest, all of them a matter of days: ask for a sample. What follows is of
methods.

A mutant flips a sign, drops a stop-gradient, exchanges chosen and rejected, turns a sum
into a mean or back, or turns a strength such as β into 1/β, at one place of the code
that ``loss`` reaches in its module. It is killed when one of the CHECKS of the method's
test refuses it; it is equivalent when no example batch, at any setting, tells its value
or gradient from the original's. All others survive, and none may: the exit status is
then 1.
"""

import argparse
import ast
import copy
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import room_mutants  # noqa: E402
from tests.methods.test_every_method import (  # noqa: E402
    configs,
    differs,
    load_tests,
    subject_of,
)
from workbench.catalogue import methods  # noqa: E402

STRENGTHS = {"beta", "tau", "eta", "gamma", "beta_r", "beta_policy", "temperature"}
SIDES = {"chosen": "rejected", "rejected": "chosen"}
REDUCED = {"margin", "logratio", "logps"}


def reached(tree: ast.Module) -> list[ast.FunctionDef]:
    """The functions of a module that ``loss`` reaches by name."""
    defined = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    todo, found = ["loss"], {}
    while todo:
        name = todo.pop()
        if name in defined and name not in found:
            found[name] = defined[name]
            used = (n for n in ast.walk(defined[name]) if isinstance(n, ast.Name))
            todo += [n.id for n in used]
    return list(found.values())


def edits(node: ast.AST) -> Iterator[tuple[str, Callable[[], ast.AST]]]:
    """The mutations of one node: what is done, and what makes the new node."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield "minus dropped", lambda: copy.deepcopy(operand)
        case ast.BinOp(op=ast.Add() | ast.Sub() as op):
            other = ast.Sub() if isinstance(op, ast.Add) else ast.Add()
            yield "plus and minus", lambda: _with(node, op=other)
        case ast.Call(func=ast.Attribute(value=inner, attr="detach")):
            yield "detach dropped", lambda: copy.deepcopy(inner)
        case ast.Call(func=ast.Attribute(attr="sum" | "mean" as name) as func):
            other = "mean" if name == "sum" else "sum"
            yield (
                f"{name} to {other}",
                lambda: _with(node, func=_with(func, attr=other)),
            )
        case ast.Call(func=ast.Attribute(attr=name), args=[], keywords=[]):
            if name in REDUCED:
                mean = [ast.Constant("mean")]
                yield "sum to mean", lambda: _with(node, args=mean)
        case ast.Constant(value="sum" | "mean" as name):
            other = "mean" if name == "sum" else "sum"
            yield f"{name} to {other}", lambda: ast.Constant(other)
        case ast.Attribute(value=ast.Name(id="cfg"), attr=name) if name in STRENGTHS:
            inverse = ast.BinOp(ast.Constant(1), ast.Div(), copy.deepcopy(node))
            yield f"1/{name}", lambda: inverse
        case ast.Attribute(attr=name) if any(side in name for side in SIDES):
            yield f"{name} swapped", lambda: _with(node, attr=_swapped(name))


def _swapped(name: str) -> str:
    side = next(side for side in SIDES if side in name)
    return name.replace(side, SIDES[side])


def _with(node: ast.AST, **changes: object) -> ast.AST:
    new = copy.deepcopy(node)
    for name, value in changes.items():
        setattr(new, name, value)
    return new


class _Replace(ast.NodeTransformer):
    """Replace the n-th node (in walking order) of a function."""

    def __init__(self, target: ast.AST, new: ast.AST):
        self.target, self.new = target, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.target else self.generic_visit(node)


def mutants(module: types.ModuleType) -> Iterator[tuple[str, Callable]]:
    """Every mutant's description and loss."""
    source = inspect.getsource(module)
    count = sum(1 for _ in _sites(ast.parse(source)))
    for index in range(count):
        tree = ast.parse(source)
        function, node, name, make = list(_sites(tree))[index]
        _Replace(node, make()).visit(function)
        ast.fix_missing_locations(tree)
        made = types.ModuleType(module.__name__)
        exec(compile(tree, module.__file__, "exec"), vars(made))
        where = f"{function.name}, line {node.lineno}: {name}"
        yield f"{where} in `{ast.unparse(node)[:60]}`", made.loss


def _sites(tree: ast.Module) -> Iterator[tuple]:
    for function in reached(tree):
        for statement in function.body:
            for node in ast.walk(statement):
                for name, make in edits(node):
                    yield function, node, name, make


def equivalent(module: types.ModuleType, wrong: Callable) -> bool:
    """No example batch at any setting tells the two apart."""
    try:
        return not any(
            differs(subject_of(module, cfg=cfg), subject_of(module, wrong, cfg))
            for cfg in configs(module)
        )
    except Exception:  # the mutant fails where the loss does not
        return False


def killed(checks, wrong: Callable) -> bool:
    """Some check refuses the mutant; an error of any kind is a refusal."""
    for check in checks:
        try:
            check(wrong)
        except Exception:
            return True
    return False


def examine(key: str) -> tuple[str, int, int, list[str]]:
    """(key, killed, equivalent, survivors) of one method."""
    torch.set_num_threads(1)
    module = methods()[key]
    tests = load_tests(key)
    dead, same_as, alive = 0, 0, []
    for name, wrong in mutants(module):
        if killed(tests.CHECKS, wrong):
            dead += 1
        elif equivalent(module, wrong):
            same_as += 1
        else:
            alive.append(name)
    return key, dead, same_as, alive


def main() -> int:
    """Examine methods and rooms, and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*",
        help="methods, rooms, modules such as loops.online; all if none is given",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--sample", type=int, default=0, help="so many of rooms; 0: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--minutes", type=float, default=60, help="for the rooms")
    asked = parser.parse_args()
    found = [k for k, m in methods().items() if "loss" in vars(m)]
    rooms = [n for n in asked.names if n.split(".")[0] in room_mutants.ROOMS]
    keys = [n for n in asked.names if n not in rooms and n != "methods"]
    if unknown := sorted(set(keys) - set(found)):
        parser.error(f"no method, room or module of one: {', '.join(unknown)}")
    if not asked.names or "methods" in asked.names:
        keys = found
    alive = examine_methods(keys, asked.jobs) if keys else 0
    if rooms or not asked.names:
        alive += room_mutants.examine(
            rooms, sample=asked.sample, seed=asked.seed, minutes=asked.minutes,
            jobs=asked.jobs,
        )  # fmt: skip
    return 1 if alive else 0


def examine_methods(keys: list[str], jobs: int) -> int:
    """Examine methods, print a table, and count the survivors."""
    total = [0, 0, 0]
    print(f"{'method':16} killed  equivalent  survived")
    with ProcessPoolExecutor(jobs) as pool:
        for key, dead, same_as, alive in pool.map(examine, keys):
            print(f"{key:16} {dead:6}  {same_as:10}  {len(alive):8}", flush=True)
            for name in alive:
                print(f"    {name}")
            counts = (dead, same_as, len(alive))
            total = [a + b for a, b in zip(total, counts, strict=True)]
    print(f"{'all':16} {total[0]:6}  {total[1]:10}  {total[2]:8}")
    return total[2]


if __name__ == "__main__":
    raise SystemExit(main())
