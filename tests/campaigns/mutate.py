"""`make mutate`: small errors in the loaders, one by one, and whether a test notices.

    python -m tests.campaigns.mutate [--n N] [--seed S] [FILE ...]

The tests are collected once and run once, which says what functions each of them
enters. Each mutant then lives in a forked child, and meets the tests that enter its
function, the quickest ones first.
"""

import argparse
import ast
import gc
import json
import math
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import hypothesis
import pytest
import torch

from .reliability import write_section

ROOT = Path(__file__).parent.parent.parent
FILES = (
    "records/header.py",
    "records/columns.py",
    "records/metadata.py",
    "records/limits.py",
    "records/bounded_msgpack.py",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "records/formats").glob("*.py")),
    "core/state/plan.py",
)
TESTS = (
    "tests/records/formats",
    "tests/records/test_loader_checks.py",
    "tests/records/test_limits.py",
    "tests/records/test_released_files.py",
    "tests/core/state/test_loading.py",
    "tests/core/state/test_entries.py",
)
"""The quick tests of what the files do."""
LEAST = 5
"""Mutants of each file, if it has so many places."""
MOST_SECONDS = 15
"""Of tests that a mutant meets, by the time that each took without it."""

_FLIPS: dict[type[ast.AST], Any] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.Mult,
}  # fmt: skip


class _Mutator(ast.NodeTransformer):
    """Changes the place that is number ``chosen``; counts all places in functions."""

    def __init__(self, chosen: int) -> None:
        self.chosen, self.count = chosen, 0
        self.change, self.function = "", range(0)
        self._function = range(0)

    def _hit(self, node: ast.AST, change: str) -> bool:
        if not self._function:
            return False
        self.count += 1
        if self.count - 1 != self.chosen:
            return False
        self.change = f"line {getattr(node, 'lineno', 0)}: {change}"
        self.function = self._function
        return True

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Note the lines of an outermost function; its signature stays."""
        outer = self._function
        if not outer:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            self._function = range(first, (node.end_lineno or first) + 1)
        node.body = [self.visit(statement) for statement in node.body]
        self._function = outer
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Flip an operator."""
        self.generic_visit(node)
        for i, op in enumerate(node.ops):
            flip = _FLIPS.get(type(op))
            if flip and self._hit(node, f"{type(op).__name__} to {flip.__name__}"):
                node.ops[i] = flip()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """Take `and` for `or`, and the reverse."""
        self.generic_visit(node)
        if self._hit(node, "and for or"):
            node.op = _FLIPS[type(node.op)]()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Take another operator."""
        self.generic_visit(node)
        flip = _FLIPS.get(type(node.op))
        if flip and self._hit(node, f"{type(node.op).__name__} to {flip.__name__}"):
            node.op = flip()
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Take the next number."""
        if type(node.value) is int and self._hit(node, f"{node.value} + 1"):
            return ast.copy_location(ast.Constant(node.value + 1), node)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Leave out an error; its words stay."""
        if self._hit(node, "no raise"):
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """Leave out a call."""
        if isinstance(node.value, ast.Call) and self._hit(node, "no call"):
            return ast.copy_location(ast.Pass(), node)
        self.generic_visit(node)
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """Return nothing."""
        self.generic_visit(node)
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        if node.value and not is_none and self._hit(node, "return None"):
            node.value = ast.copy_location(ast.Constant(None), node)
        return node


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small error in one function of a file."""

    file: str
    number: int

    def compiled(self) -> tuple[CodeType, _Mutator]:
        """Return the code of the file with the error, and where it is."""
        mutator = _Mutator(self.number)
        tree = mutator.visit(ast.parse((ROOT / self.file).read_text()))
        code = compile(ast.fix_missing_locations(tree), str(ROOT / self.file), "exec")
        return code, mutator

    def install(self) -> None:
        """Exchange the code of the functions of the file, wherever they are held."""
        new = {(c.co_qualname, c.co_firstlineno): c for c in _codes(self.compiled()[0])}
        for item in gc.get_objects():
            # isinstance would ask objects for their class, and some then warn.
            if type(item) is not FunctionType:
                continue
            if _short(item.__code__.co_filename) == self.file:
                code = item.__code__
                item.__code__ = new[code.co_qualname, code.co_firstlineno]


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


@cache
def _short(name: str) -> str:
    """Return where in the repository a source file is; "" if it is none of its own."""
    # Through src/burnish, whose folders are links to those at the top.
    file, root = Path(name).resolve(), ROOT.resolve()
    return str(file.relative_to(root)) if file.is_relative_to(root) else ""


def places(file: str) -> int:
    """Return how many mutants a file has."""
    return Mutant(file, -1).compiled()[1].count


def sample(files: Sequence[str], n: int, draw: random.Random) -> list[Mutant]:
    """Return mutants of every file, as many of each as it has places, or `LEAST`."""
    counts = {file: places(file) for file in files}
    chosen = list[Mutant]()
    for file, count in counts.items():
        share = max(LEAST, math.ceil(n * count / sum(counts.values())))
        numbers = draw.sample(range(count), min(share, count))
        chosen += [Mutant(file, number) for number in numbers]
    # So that a part of them is fair too.
    draw.shuffle(chosen)
    return chosen


@dataclass(eq=False)  # a plugin is hashed
class Campaign:
    """A plugin of pytest that runs the mutants where the tests would run."""

    mutants: list[Mutant]
    seconds: int
    end: float
    entered: list[list[list[Any]]] = field(default_factory=list[list[list[Any]]])
    took: list[float] = field(default_factory=list[float])
    killed: int = 0
    survivors: list[str] = field(default_factory=list[str])
    failed: bool = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        self.failed = self.failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once, then those that concern each mutant."""
        # Of the parent, else every child makes one of its own.
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        self._run_once(session.items)
        print(f"{len(session.items)} tests, {sum(self.took):.0f} s", flush=True)
        for file in FILES:
            # Else a fault of this campaign would count as an error that was noticed.
            if self._run(Mutant(file, -1), session.items) is None:
                raise RuntimeError(f"the tests notice an error in {file} as it is")
        for i, mutant in enumerate(self.mutants):
            if time.monotonic() > self.end:
                break
            change = self._run(mutant, session.items)
            if change is None:
                self.killed += 1
            else:
                self.survivors.append(change)
                print(f"{i} lives: {change}", flush=True)
        return True

    def _run_once(self, items: list[pytest.Item]) -> None:
        with tempfile.NamedTemporaryFile("r") as file:
            child = os.fork()
            if not child:
                try:
                    _silence()
                    Path(file.name).write_text(json.dumps(self._watched(items)))
                except BaseException:
                    Path(file.name).write_text(traceback.format_exc())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            text = file.read()
            if not text.startswith("["):
                raise RuntimeError(f"the tests do not run in a child: {text}")
            rows = json.loads(text)
        for item, (_, _, failed) in zip(items, rows, strict=True):
            if failed:
                print(f"fails on the source as it is, left out: {item.nodeid}")
        self.took = [1e9 if failed else took for _, took, failed in rows]
        self.entered = [entered for entered, _, _ in rows]

    def _watched(self, items: list[pytest.Item]) -> list[Any]:
        rows = list[Any]()
        for item in items:
            entered, start = set[tuple[str, int]](), time.monotonic()

            def note(frame: FrameType, event: str, _: Any, to: Any = entered) -> None:
                code = frame.f_code
                if event == "call" and (file := _short(code.co_filename)) in FILES:
                    to.add((file, code.co_firstlineno))

            sys.setprofile(note)
            failed = self._fails(item)
            sys.setprofile(None)
            rows.append((sorted(entered), time.monotonic() - start, failed))
        return rows

    def _fails(self, item: pytest.Item) -> bool:
        self.failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return self.failed

    def _run(self, mutant: Mutant, items: list[pytest.Item]) -> str | None:
        """Return what was changed if no test notices."""
        mutator = mutant.compiled()[1]
        # Of a file as it is a few are enough: functions of all of it.
        lines, most = mutator.function, float(MOST_SECONDS)
        if mutant.number < 0:
            lines, most = range(sys.maxsize), 0.5
        tests = self._concerned(mutant.file, lines, most)
        child = os.fork()
        if not child:
            signal.alarm(self.seconds)
            _silence()
            try:
                mutant.install()
                os._exit(any(self._fails(items[i]) for i in tests))
            except BaseException:  # what it is does not matter
                os._exit(1)
        if os.waitpid(child, 0)[1]:
            return None
        return f"{mutant.file} {mutator.change} ({len(tests)} tests)"

    def _concerned(self, file: str, function: range, most: float) -> list[int]:
        spent, tests = 0.0, list[int]()
        for i in sorted(range(len(self.took)), key=self.took.__getitem__):
            if any(f == file and line in function for f, line in self.entered[i]):
                spent += self.took[i]
                if spent > most:
                    break
                tests.append(i)
        return tests


def _silence() -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    # A mutant may ask for all the memory there is.
    resource.setrlimit(resource.RLIMIT_DATA, (6 << 30, resource.RLIM_INFINITY))


def main() -> int:
    """Run a sample of the mutants, write the section, and list those that live."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--dry", action="store_true", help="write no page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    # A slow machine is no test that fails.
    hypothesis.settings.register_profile(
        "mutate", deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    hypothesis.settings.load_profile("mutate")
    for file in FILES:
        import_module("burnish." + file.removesuffix(".py").replace("/", "."))
    mutants = sample(options.files, options.n, random.Random(options.seed))
    end = time.monotonic() + 60 * options.minutes
    start, campaign = time.monotonic(), Campaign(mutants, options.seconds, end)
    quiet = [
        "-q",
        "-s",
        "-p",
        "no:cacheprovider",
        "-o",
        "tmp_path_retention_policy=none",
    ]
    # Of plugins that were imported already; no test's assertions are theirs.
    quiet += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    pytest.main([*quiet, *(str(ROOT / test) for test in TESTS)], plugins=[campaign])
    n = campaign.killed + len(campaign.survivors)
    share = 100 * campaign.killed / max(n, 1)
    text = f"""## Errors put into the loaders (`make mutate`)

{campaign.killed} of {n} small errors ({share:.0f} %) were noticed by the tests.
They were drawn from {len(options.files)} files with seed {options.seed}, as many of \
each file as it has places for them, in {time.monotonic() - start:,.0f} s.
"""
    print(text)
    if not options.dry:
        write_section("mutate", text)
    return int(share < 85)


if __name__ == "__main__":
    raise SystemExit(main())
