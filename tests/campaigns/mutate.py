"""`make mutate`: small errors in the loaders, one by one, and whether a test notices.

    python -m tests.campaigns.mutate [--n N] [--seed S] [FILE ...] [--tests TEST ...]

The tests are collected once and run once, which says what statements each of them runs.
Each mutant then lives in a forked child, and meets the tests that enter its function:
those that run its statement first, and the quickest of them. What needs far more time
than without it is counted as a hang, by the processor's clock: a busy machine is not
a test that fails.
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
from itertools import chain
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import hypothesis
import pytest
import torch

from .reliability import write_section

ROOT = Path(__file__).parent.parent.parent
FILES = (
    "records/header/header.py",
    "records/header/columns.py",
    "records/header/metadata.py",
    "records/limits.py",
    "records/formats/bounded_msgpack.py",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "records/formats").glob("*.py")),
    "core/state/loading/plan.py",
)
TESTS = (
    "tests/records/formats",
    *(
        f"tests/records/test_{name}.py"
        for name in (
            *("bounded_msgpack", "columns", "header", "hostile"),
            *("limits", "loader_checks", "recorder", "released_files"),
        )
    ),
    *(f"tests/core/state/test_{name}.py" for name in ("entries", "plan")),
    *(f"tests/core/persistence/test_{name}.py" for name in ("loading", "meaning")),
)
"""Those of what the files do, without tests of many seconds about something else."""
LEAST = 5
"""Mutants of each file, if it has so many places."""
MOST_SECONDS = 10
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
        self.change, self.line, self.function = "", 0, range(0)
        self._function, self._statement = range(0), 0

    def visit(self, node: ast.AST) -> Any:
        """Note the statement that a place is in."""
        if isinstance(node, ast.stmt):
            self._statement = node.lineno
        return super().visit(node)

    def _hit(self, node: ast.AST, change: str) -> bool:
        if not self._function:
            return False
        self.count += 1
        if self.count - 1 != self.chosen:
            return False
        self.line = self._statement
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
        tree = mutator.visit(ast.parse(source_of(self.file)))
        code = compile(ast.fix_missing_locations(tree), str(ROOT / self.file), "exec")
        return code, mutator

    def install(self) -> None:
        """Exchange the code of the functions of the file, wherever they are held."""
        _exchange({self.file: self.compiled()[0]})


class _Prober(ast.NodeTransformer):
    """Puts a note of its line before each statement of each function."""

    def __init__(self) -> None:
        self._is_inside = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Go into a function; nothing outside of one is changed."""
        outer, self._is_inside = self._is_inside, True
        self.generic_visit(node)
        self._is_inside = outer
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Go through what is inside, and put notes into its lists of statements."""
        super().generic_visit(node)
        for name in ("body", "orelse", "finalbody") if self._is_inside else ():
            if isinstance(statements := getattr(node, name, None), list):
                noted = [(_note(statement), statement) for statement in statements]
                setattr(node, name, list(chain.from_iterable(noted)))
        return node


def _note(statement: ast.stmt) -> ast.stmt:
    return ast.parse(f"{_NOTE}({statement.lineno})").body[0]


_NOTE = "__note_line__"


def install_probes() -> dict[str, set[int]]:
    """Return where each file notes, from now on, the lines of its statements."""
    noted, codes = dict[str, set[int]](), dict[str, CodeType]()
    for file in FILES:
        tree = _Prober().visit(ast.parse(source_of(file)))
        codes[file] = compile(ast.fix_missing_locations(tree), ROOT / file, "exec")
        noted[file] = set[int]()
        setattr(import_module(_module_of(file)), _NOTE, noted[file].add)
    _exchange(codes)
    return noted


def _exchange(codes: dict[str, CodeType]) -> None:
    """Give the functions of each file the code of those in its new code."""
    new = {
        file: {(c.co_qualname, c.co_firstlineno): c for c in _codes(code)}
        for file, code in codes.items()
    }
    for file in codes:
        for function in _functions()[file]:
            code = function.__code__
            function.__code__ = new[file][code.co_qualname, code.co_firstlineno]


@cache
def _functions() -> dict[str, list[FunctionType]]:
    """Return the functions of each file, wherever they are held."""
    found: dict[str, list[FunctionType]] = {file: [] for file in FILES}
    for item in gc.get_objects():
        # isinstance would ask objects for their class, and some then warn.
        if type(item) is FunctionType:
            file = _short(item.__code__.co_filename)
            if file in found:
                found[file].append(item)
    return found


def _module_of(file: str) -> str:
    return "burnish." + file.removesuffix(".py").replace("/", ".")


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


@cache
def source_of(file: str) -> str:
    """Return the text of a file as it was when this process first asked for it."""
    return (ROOT / file).read_text()


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
    lines: list[dict[str, list[int]]] = field(
        default_factory=list[dict[str, list[int]]]
    )
    """Of each file, what each test ran."""
    took: list[float] = field(default_factory=list[float])
    killed: int = 0
    hangs: int = 0
    """How many of the killed ones did not end."""
    survivors: list[str] = field(default_factory=list[str])
    failed: bool = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        self.failed = self.failed or report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once, then those that concern each mutant."""
        # Of the parent, else every child makes one of its own.
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        _functions()
        # A child writes to no page of what it shares, unless it uses it.
        gc.freeze()
        self._run_once(session.items)
        print(f"{len(session.items)} tests, {sum(self.took):.0f} s", flush=True)
        self._check_sources(session.items)
        for i, mutant in enumerate(self.mutants):
            if time.monotonic() > self.end:
                break
            try:
                change = self._run(mutant, session.items)
            except NotInstalledError as error:
                # Such as a function that only the import calls, for those it returns.
                print(f"{i} left out: {mutant.file} {error}", flush=True)
                continue
            if change is None:
                self.killed += 1
            else:
                self.survivors.append(change)
                print(f"{i} lives: {change}", flush=True)
        self._check_sources(session.items)
        return True

    def _check_sources(self, items: list[pytest.Item]) -> None:
        """Raise if tests fail that should not: their errors would count as noticed."""
        for file in FILES:
            if self._run(Mutant(file, -1), items) is None:
                raise RuntimeError(f"the tests notice an error in {file} as it is")

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
        self.lines = [lines for lines, _, _ in rows]

    def _watched(self, items: list[pytest.Item]) -> list[Any]:
        rows, noted = list[Any](), install_probes()
        for item in items:
            start = time.process_time()
            failed = self._fails(item)
            took = time.process_time() - start
            rows.append(({f: sorted(n) for f, n in noted.items() if n}, took, failed))
            for lines in noted.values():
                lines.clear()
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
        tests = self._concerned(mutant.file, lines, mutator.line, most)
        child = os.fork()
        if not child:
            signal.setitimer(signal.ITIMER_PROF, self.seconds)
            # A child that waits for ever was noticed by nobody.
            signal.alarm(10 * self.seconds)
            _silence()
            try:
                mutant.install()
            except BaseException:
                os._exit(_NOT_INSTALLED)
            try:
                os._exit(any(self._fails(items[i]) for i in tests))
            except BaseException:  # what it is does not matter
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _NOT_INSTALLED:
            raise NotInstalledError(f"{mutator.change}: what it makes is there already")
        end = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self.hangs += end == signal.SIGPROF
        if status and end != signal.SIGALRM:
            return None
        return f"{mutant.file} {mutator.change} ({len(tests)} tests)"

    def _concerned(
        self, file: str, function: range, line: int, most: float
    ) -> list[int]:
        concerned = list[tuple[bool, float, int]]()
        for i, lines in enumerate(self.lines):
            ran = lines.get(file, ())
            if any(n in function for n in ran):
                concerned.append((line not in ran, self.took[i], i))
        spent, tests = 0.0, list[int]()
        for _, took, i in sorted(concerned):
            spent += took
            if spent > most:
                break
            tests.append(i)
        return tests


class NotInstalledError(Exception):
    """A mutant that could not take the place of what it is of."""


_NOT_INSTALLED = 99
"""The exit status of a child for that."""


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
    parser.add_argument("--tests", nargs="+", default=TESTS)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--dry", action="store_true", help="write no page")
    options = parser.parse_args()
    torch.set_num_threads(1)
    # A slow machine is not a test that fails.
    hypothesis.settings.register_profile(
        "mutate", deadline=None, derandomize=True, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    hypothesis.settings.load_profile("mutate")
    for file in FILES:
        source_of(file)
        import_module(_module_of(file))
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
    with tempfile.TemporaryDirectory() as folder:
        # Other runs of pytest remove the usual folder when they clean up.
        quiet += [f"--basetemp={folder}/tests"]
        tests = [str(ROOT / test) for test in options.tests]
        if pytest.main([*quiet, *tests], plugins=[campaign]) != 0:
            raise RuntimeError("the tests did not run")
    n = campaign.killed + len(campaign.survivors)
    share = 100 * campaign.killed / max(n, 1)
    text = f"""## Errors put into the loaders (`make mutate`)

{campaign.killed} of {n} small errors ({share:.0f} %) were noticed by the tests; \
{campaign.hangs} of these by not coming to an end.
They are the first of {len(mutants)} in random order, drawn with seed {options.seed} \
from {len(options.files)} files, as many of each as it has places for them; \
{time.monotonic() - start:,.0f} s were enough for so many.
"""
    print(text)
    if not options.dry:
        write_section("mutate", text)
    return int(share < 85)


if __name__ == "__main__":
    raise SystemExit(main())
