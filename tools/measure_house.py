"""How the source reads, in numbers: size, names, comments, types, imports, journeys.

    python tools/measure_house.py [FOLDER OF A CHECKOUT] [--journeys] [--names]

The list of vague words is fixed: a figure is worth something beside an older one only.
"""

import argparse
import ast
import io
import json
import re
import statistics
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

FOLDERS = ("config", "records", "core", "optim", "train", "cli")

VAGUE = frozenset(
    """
    made found told untold said kept given asked held stored left known seen
    named moved taken wanted needed used written drawn built fitted settled
    wrong own one other others rest thing things last first what who whole both
    some such same here there then done gone come back old new inner outer real
    plain odd bad good fine right
    """.split()  # noqa: SIM905  # a list of 70 texts would take a screen
)
"""Participles and pointing words of house.md and STYLE.md, and their siblings."""


def main() -> int:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkout", nargs="?", type=Path, default=Path())
    parser.add_argument("--journeys", action="store_true", help="count at run time")
    parser.add_argument(
        "--names",
        action="store_true",
        help="list what is counted",
    )
    options = parser.parse_args()
    root = options.checkout.resolve()
    files = {
        file: file.read_text() for folder in FOLDERS for file in _files(root / folder)
    }
    trees = {file: ast.parse(text) for file, text in files.items()}
    _print_sizes(root, files)
    _print_names(root, trees, is_listed=options.names)
    _print_comments(files)
    _print_types(trees, n_lines=sum(text.count("\n") for text in files.values()))
    _print_imports(root, trees, is_listed=options.names)
    if options.journeys:
        _print_journeys(root)
    return 0


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _print_sizes(root: Path, files: dict[Path, str]) -> None:
    for folder in FOLDERS:
        lines = [
            text.count("\n")
            for file, text in files.items()
            if file.is_relative_to(root / folder)
        ]
        print(
            f"{folder:8} {len(lines):4} files {sum(lines):7,} lines, median "
            f"{statistics.median(lines):.0f}, longest {max(lines)}"
        )
    print(
        f"all      {len(files):4} files "
        f"{sum(text.count(chr(10)) for text in files.values()):7,} lines"
    )


def _print_names(root: Path, trees: dict[Path, ast.Module], *, is_listed: bool) -> None:
    local_names = [(f, name) for f, tree in trees.items() for name in _locals(tree)]
    functions = [
        (file, node.name)
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name not in ("__new__", "read", "new", "first")
    ]
    file_names = [(file, file.stem) for file in trees]
    for what, names in (
        ("local names", local_names),
        ("functions", functions),
        ("files", file_names),
    ):
        vague = [(file, name) for file, name in names if name.strip("_") in VAGUE]
        print(
            f"vague {what}: {len(vague)} of {len(names):,} "
            f"({100 * len(vague) / len(names):.1f} %)"
        )
        if is_listed:
            for file, name in sorted(vague):
                print(f"  {file.relative_to(root)}: {name}")
    files_by_name = defaultdict[str, set[Path]](set)
    for file, tree in trees.items():
        for name in _public_definitions(tree):
            files_by_name[name].add(file)
    shared = {n: fs for n, fs in files_by_name.items() if len(fs) > 1}
    print(f"public names defined in several files: {len(shared)}")
    if is_listed:
        for name, defining in sorted(shared.items()):
            listed = ", ".join(sorted(str(f.relative_to(root)) for f in defining))
            print(f"  {name}: {listed}")


def _public_definitions(tree: ast.Module) -> set[str]:
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
    }


def _locals(tree: ast.Module) -> Iterator[str]:
    """Return the local variables of every function, arguments among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _locals_of(node)


def _locals_of(
    function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
) -> set[str]:
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    names = {argument.arg for argument in every if argument.arg not in ("self", "cls")}
    body = function.body if isinstance(function.body, list) else [function.body]
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
        ):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        waiting += ast.iter_child_nodes(node)
    return names


def _print_comments(files: dict[Path, str]) -> None:
    n_comments = n_lines = 0
    for text in files.values():
        n_lines += text.count("\n")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            is_for_tools = re.match(
                r"#\s*(type:|pyright:|noqa|fmt:|pragma)", token.string
            )
            n_comments += token.type == tokenize.COMMENT and not is_for_tools
    print(f"comments: {100 * n_comments / n_lines:.1f} in 100 lines")


def _print_types(trees: dict[Path, ast.Module], n_lines: int) -> None:
    n_any = sum(
        isinstance(node, ast.Name) and node.id == "Any"
        for tree in trees.values()
        for node in ast.walk(tree)
    )
    print(f"Any: {1000 * n_any / n_lines:.0f} in 1,000 lines")


def _print_imports(
    root: Path, trees: dict[Path, ast.Module], *, is_listed: bool
) -> None:
    every = _imports(root, trees, only_top=False)
    top = _imports(root, trees, only_top=True)
    circles = [c for c in _circles(every) if len(c) > 1]
    chain = _longest_chain(top)
    print(f"longest import chain: {len(chain)} files")
    if is_listed:
        print("  " + ", ".join(str(file.relative_to(root)) for file in chain))
    print(f"circles of files, all imports counted: {len(circles)}")
    for circle in sorted(circles, key=len, reverse=True):
        names = sorted(str(file.relative_to(root)) for file in circle)
        print(
            f"  {len(circle)} files: {', '.join(names[:4])}"
            f"{' ...' if len(names) > 4 else ''}"
        )
    folders: dict[Path, set[Path]] = {}
    for file, targets in every.items():
        places = {_place(root, target) for target in targets}
        folders.setdefault(_place(root, file), set()).update(places)
    knots = [c for c in _circles(folders) if len(c) > 1]
    print(f"circles of folders: {len(knots)}")
    for knot in knots:
        print(
            "  " + ", ".join(sorted(str(folder.relative_to(root)) for folder in knot))
        )


def _place(root: Path, file: Path) -> Path:
    """Return the sub-folder of ``file``, or the file that stands at its layer's top.

    At the top stand both what all sub-folders use and what uses them all.
    """
    is_at_top = file.parent.parent == root
    return file if is_at_top else root.joinpath(*file.relative_to(root).parts[:2])


def _imports(
    root: Path, trees: dict[Path, ast.Module], *, only_top: bool
) -> dict[Path, set[Path]]:
    """Return which files each file imports; of the module level alone if asked."""
    return {
        file: {
            target
            for node in (tree.body if only_top else ast.walk(tree))
            if isinstance(node, ast.ImportFrom) and node.level
            for target in _targets(root, trees, file, node)
            if target != file
        }
        for file, tree in trees.items()
    }


def _targets(
    root: Path, trees: dict[Path, ast.Module], file: Path, node: ast.ImportFrom
) -> Iterator[Path]:
    base = file.parent
    for _ in range(node.level - 1):
        base = base.parent
    base = base.joinpath(*(node.module or "").split(".")) if node.module else base
    for name in (alias.name for alias in node.names):
        for candidate in (
            base / f"{name}.py",
            base.with_suffix(".py"),
            base / "__init__.py",
        ):
            if candidate in trees:
                yield candidate
                break


def _circles(graph: dict[Path, set[Path]]) -> list[set[Path]]:
    """Return the strongly connected parts of the graph (Tarjan, 1972)."""
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    circles: list[set[Path]] = []

    def visit(node: Path) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph.get(node, ()):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            circles.append(set(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return circles


def _longest_chain(graph: dict[Path, set[Path]]) -> list[Path]:
    """Return the longest way along imports from its top, circles counted as one."""
    part_of = {file: i for i, part in enumerate(_circles(graph)) for file in part}

    @cache
    def chain(file: Path) -> tuple[Path, ...]:
        below = (t for t in sorted(graph[file]) if part_of[t] != part_of[file])
        return (file, *max(map(chain, below), key=len, default=()))

    return [*max(map(chain, sorted(graph)), key=len)]


JOURNEYS = ("save", "load", "step", "configure", "restore")


def _print_journeys(root: Path) -> None:
    program = Path(__file__).with_name("journeys.py")
    for name in JOURNEYS:
        result = subprocess.run(
            [sys.executable, program, root, name],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            print(f"{name}: {result.stderr.splitlines()[-1]}")
            continue
        functions = json.loads(result.stdout)
        n_files = len({file for file, _ in functions})
        print(f"{name}: {n_files} files, {len(functions)} functions")


if __name__ == "__main__":
    sys.exit(main())
