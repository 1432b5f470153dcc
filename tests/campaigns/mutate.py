"""`make mutate`: small errors in the loaders, one by one, and whether a test notices.

    python -m tests.campaigns.mutate [--n N] [--seed S] [FILE ...]

Each mutant runs in a forked child of a process that has imported all there is.
"""

import argparse
import ast
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from .reliability import write_section

ROOT = Path(__file__).parent.parent.parent
FILES = (
    "records/header.py",
    "records/columns.py",
    "records/metadata.py",
    "records/bounded_msgpack.py",
    *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "records/formats").glob("*.py")),
    "core/state/plan.py",
)
TESTS = {
    "records": [
        "tests/records/test_loader_checks.py",
        "tests/records/formats/test_safetensors.py",
        "tests/records/formats/test_json.py",
        "tests/records/formats/test_messagepack.py",
        "tests/records/formats/test_zstd_messagepack.py",
        "tests/records/formats/test_torch_archive.py",
        "tests/records/test_released_files.py",
        "tests/records/test_limits.py",
    ],
    "core": ["tests/core/state/test_loading.py", "tests/core/state/test_entries.py"],
}
_FLIPS: dict[type[ast.AST], Any] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.Mult,
}  # fmt: skip


class _Mutator(ast.NodeTransformer):
    """Changes the place that is number ``chosen``; counts all places."""

    def __init__(self, chosen: int) -> None:
        self.chosen, self.count, self.change = chosen, 0, ""

    def _hit(self, node: ast.AST, change: str) -> bool:
        self.count += 1
        if self.count - 1 != self.chosen:
            return False
        self.change = f"line {getattr(node, 'lineno', 0)}: {change}"
        return True

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
        """Leave out an error."""
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
        if node.value is not None and self._hit(node, "return None"):
            node.value = ast.copy_location(ast.Constant(None), node)
        return node


def places(file: str) -> int:
    """Return how many mutants a file has."""
    mutator = _Mutator(-1)
    mutator.visit(ast.parse((ROOT / file).read_text()))
    return mutator.count


def sample(
    files: Sequence[str], n: int, draw: random.Random
) -> Iterator[tuple[str, int]]:
    """Return files and numbers of mutants, as many of each file as it has places."""
    every = [(file, i) for file in files for i in range(places(file))]
    yield from draw.sample(every, min(n, len(every)))


def killed(file: str, chosen: int, seconds: int) -> tuple[bool, str]:
    """Return whether a test notices a mutant, and what was changed."""
    mutator = _Mutator(chosen)
    tree = mutator.visit(ast.parse((ROOT / file).read_text()))
    code = compile(ast.fix_missing_locations(tree), str(ROOT / file), "exec")
    child = os.fork()
    if not child:
        signal.alarm(seconds)
        os._exit(_run(file, code))
    status = os.waitpid(child, 0)[1]
    return status != 0, f"{file} {mutator.change}"


def _run(file: str, code: object) -> int:
    """Run the tests on a mutant; 0 if they find nothing."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        module = import_module("burnish." + file.removesuffix(".py").replace("/", "."))
        before = dict(vars(module))
        exec(code, vars(module))  # type: ignore[arg-type]  # our own source
        _spread(before, vars(module))
        tests = TESTS[file.partition("/")[0]]
        return int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))
    except BaseException:  # a mutant that does not even import
        return 1


def _spread(before: dict[str, object], after: dict[str, object]) -> None:
    """Put the mutant's functions and classes wherever the first ones were imported."""
    others = [m for name, m in sys.modules.items() if name.startswith("burnish")]
    for name, old in before.items():
        new = after.get(name)
        if new is old or not hasattr(old, "__qualname__"):
            continue
        for module in others:
            for key, value in list(vars(module).items()):
                if value is old:
                    vars(module)[key] = new


def main() -> int:
    """Run a sample of the mutants, write the section, and list those that live."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--dry", action="store_true", help="write no page")
    given = parser.parse_args()
    for file in FILES:
        import_module("burnish." + file.removesuffix(".py").replace("/", "."))
    if killed("records/header.py", -1, given.seconds)[0]:
        raise SystemExit("the tests fail on the source as it is")
    start, n_killed, survivors = time.monotonic(), 0, list[str]()
    draw = random.Random(given.seed)
    chosen = list(sample(given.files, given.n, draw))
    for file, number in chosen:
        is_killed, change = killed(file, number, given.seconds)
        n_killed += is_killed
        if not is_killed:
            survivors.append(change)
            print(f"lives: {change}", flush=True)
    share = 100 * n_killed / max(len(chosen), 1)
    seconds = time.monotonic() - start
    text = f"""## Errors put into the loaders (`make mutate`)

{n_killed} of {len(chosen)} small errors ({share:.0f} %) were noticed by the tests.
They were drawn from {len(FILES)} files with seed {given.seed}, in {seconds:,.0f} s.
"""
    print(text)
    if not given.dry:
        write_section("mutate", text)
    return int(share < 85)


if __name__ == "__main__":
    raise SystemExit(main())
