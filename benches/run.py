"""Run the benches that are named, or all of them, each in a process of its own."""

import argparse
import ast
import importlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from harness import Row, Unmeasured
from results import table, write_section, write_unmeasured

_HERE = Path(__file__).parent


def main() -> int:
    """Run, print and write down what was asked for; 1 if a bench broke."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--here", action="store_true", help="no process of its own")
    arguments = parser.parse_args()
    # What a scheduler ends leaves no files behind, which lie in memory. By Python's own
    # handler: one of ours might change values, and saves would copy them first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    known = questions()
    if unknown := set(arguments.names) - set(known):
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are {[*known]}")
    names = arguments.names or [*known]
    if arguments.here:
        for name in names:
            run_here(name, known[name])
        return 0
    seconds = {name: run_apart(name) for name in names}
    # The site shows some of the figures: its picture is drawn of those of now.
    subprocess.run([sys.executable, _HERE.parent / "tools/plot_results.py"], check=True)
    spent = [s for s in seconds.values() if s is not None]
    print(f"\n{len(names)} benches took {sum(spent) / 60:.1f} minutes; the longest:")
    for name, s in sorted(seconds.items(), key=lambda item: -(item[1] or 0))[:8]:
        print(f"{s or 0:6.0f} s  {name}")
    broken = [name for name, s in seconds.items() if s is None]
    if broken:
        print(f"broken: {', '.join(broken)}", file=sys.stderr)
    return int(bool(broken))


def run_apart(name: str) -> float | None:
    """Run a bench in a process of its own; return its seconds, None if it broke."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--here", name]
    code = subprocess.run(command, check=False).returncode
    return None if code else time.perf_counter() - began


def questions() -> dict[str, str]:
    """Return each bench and its question: files whose first line ends with one."""
    found: dict[str, str] = {}
    for file in sorted(_HERE.glob("*.py")):
        text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        first = text.partition("\n")[0]
        if first.endswith("?"):
            found[file.stem] = first
    return found


def run_here(name: str, question: str) -> None:
    """Run one bench in this process, print its table, and write it down."""
    began = time.perf_counter()
    run = cast("Callable[[], list[Row]]", importlib.import_module(name).run)
    try:
        rows = run()
    except Unmeasured as reason:
        write_unmeasured(name, question, str(reason))
        print(f"\n{name}: {question}  not measured: {reason}")
        return
    write_section(name, question, rows)
    missed = sum(row.met is False for row in rows)
    seconds = time.perf_counter() - began
    print(f"\n{name}: {question}  ({seconds:.0f} s, {missed} missed)\n\n{table(rows)}")


if __name__ == "__main__":
    sys.exit(main())
