"""The generated C of drawn steps under gcc's sanitizers, with a driver of its own.

python -m tests.campaigns.sanitizers [--n N] [--seed S]
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .batch import SMALL_BLOCK, small_blocks, unit
from .engines import TOGETHER, sources_of
from .forks import Outcomes

GOOD = {"e": "clean"}
FLAGS = [
    "-O1",
    "-g",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-pthread",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]
_WIDTHS = {"float": 4, "double": 8, "uint16_t": 2, "uint8_t": 1}

_DRIVER = """
#include <stdio.h>
#include <stdlib.h>

typedef void Run(const int64_t *, int64_t, const double *, int64_t, int64_t *,
                 uint64_t);
struct program {
  Run *run; int n_inputs, n_columns, n_constants; const int *widths;
};

/* Sizes of the rows: whole vectors of every width, their tails, several blocks. */
static const int64_t SIZES[] = {1, 3, 7, 8, 15, 16, 17, 33, BLOCKS, BLOCKS + 1, 301};
enum { ROWS = sizeof SIZES / sizeof *SIZES };

static void try(const struct program *p, int64_t threads, uint32_t seed) {
  int width = p->n_columns;
  int64_t *table = malloc(sizeof(int64_t) * ROWS * width), base = 0, renewed = 0;
  double *constants = malloc(sizeof(double) * p->n_constants);
  for (int i = 0; i < p->n_constants; i++) constants[i] = 0.25 * (i - 2);
  for (int r = 0; r < ROWS; r++) {
    int64_t *row = table + r * width;
    row[0] = base; row[1] = SIZES[r]; base += SIZES[r];
    for (int k = 0; k < p->n_inputs; k++) {
      /* Each in an allocation of just its size: one byte beyond is an error. */
      size_t n = SIZES[r] * p->widths[k];
      uint8_t *memory = malloc(n);
      for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        memory[i] = p->widths[k] == 1 ? seed >> 31 : seed >> 24;
      }
      row[k + 2] = (int64_t)memory;
    }
    /* What rounds by chance has a key in its last column. */
    if (width > p->n_inputs + 2) row[width - 1] = seed;
  }
  p->run(table, ROWS, constants, threads, &renewed, 0);
  p->run(table, 0, constants, threads, &renewed, 0);
  for (int r = 0; r < ROWS; r++)
    for (int k = 0; k < p->n_inputs; k++) free((void *)table[r * width + k + 2]);
  free(table); free(constants);
}

%(tables)s
static const struct program PROGRAMS[] = {%(programs)s};

int main(int count, char **words) {
  int n = sizeof PROGRAMS / sizeof *PROGRAMS;
  for (int i = count > 1 ? atoi(words[1]) : 0; i < n; i++) {
    try(&PROGRAMS[i], 1, i);
    try(&PROGRAMS[i], 4, i + 1);
    printf("%%d\\n", i);
    fflush(stdout);
  }
  return 0;
}
"""


def available() -> str:
    """Return why nothing can be sanitized here, or nothing."""
    if shutil.which("gcc") is None:
        return "there is no gcc"
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "empty.c"
        text.write_text("int main(void) { return 0; }\n")
        program = str(Path(folder) / "empty")
        command = ["gcc", *FLAGS, str(text), "-o", program, "-lm"]
        if subprocess.run(command, capture_output=True).returncode:
            return "gcc has no sanitizers"
        return "" if not subprocess.run([program]).returncode else "they do not run"


def driver(sources: list[str]) -> str:
    """Return a C program that runs every source over rows of all sizes."""
    tables, programs = [], []
    for k, source in enumerate(sources):
        header = source[source.index("static void block(") :].partition(")")[0]
        kinds = re.findall(r"(\w+) \*restrict", header)
        widths = ", ".join(str(_WIDTHS[kind]) for kind in kinds)
        tables.append(f"static const int WIDTHS_{k}[] = {{{widths}}};")
        n_constants = len(re.findall(r"const \w+ c\d+ =", source))
        (n_columns,) = set(re.findall(r"table \+ .* \* (\d+);", source))
        numbers = f"{len(kinds)}, {n_columns}, {n_constants}"
        programs.append(f"{{run_{k}, {numbers}, WIDTHS_{k}}}")
    filled = {"tables": "\n".join(tables), "programs": ", ".join(programs)}
    return unit(sources) + f"#define BLOCKS {SMALL_BLOCK}\n" + _DRIVER % filled


def sanitized(sources: list[str]) -> list[tuple[int, str]]:
    """Return the numbers of the sources that are at fault, and what is said of them."""
    faults: list[tuple[int, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        text, program = Path(folder) / "unit.c", Path(folder) / "unit"
        text.write_text(driver(sources))
        command = ["gcc", *FLAGS, str(text), "-o", str(program), "-lm"]
        subprocess.run(command, check=True, capture_output=True)
        start = 0
        while start < len(sources):
            done = subprocess.run(
                [str(program), str(start)], capture_output=True, text=True, timeout=600
            )
            start += len(done.stdout.split())
            if done.returncode:
                faults.append((start, done.stderr[:2000]))
                start += 1
    return faults


def sanitizers(n: int, seed: int) -> tuple[dict[str, int | float], Outcomes]:
    """Return how ``n`` programs of drawn steps ran under the sanitizers."""
    why = available()
    if why:
        return {f"not run: {why}": 0}, Outcomes()
    outcomes, at = Outcomes(), 0
    number = TOGETHER
    while at < n:
        with small_blocks():
            sources = sources_of(range(number, number + TOGETHER), seed)[: n - at]
        faults = dict(sanitized(sources))
        for k in range(len(sources)):
            outcomes.add(at + k, "x" if k in faults else "e", GOOD)
        for k, text in faults.items():
            print(f"{sources[k]}\n{text}", file=sys.stderr, flush=True)
        at, number = at + len(sources), number + TOGETHER
    return {"programs": n, **outcomes.counts}, outcomes


def main() -> int:
    """Run programs, print the figures, and return 1 if there was a defect."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    figures, outcomes = sanitizers(given.n, given.seed)
    print(figures)
    return int(bool(outcomes.defects))


if __name__ == "__main__":
    raise SystemExit(main())
