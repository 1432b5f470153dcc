"""Collect the corpus: the files that reach branches of the header parsers.

python -m tests.campaigns.collect MINUTES
"""

import random
import sys

import xxhash

from .fuzz import CORPUS, read, seeds, small_limits
from .guided import explore, unreached


def main() -> None:
    """Put the files that reach something new in the place of the corpus."""
    whole, draw = seeds(), random.Random(0)
    with small_limits():
        found = explore(whole, 60 * float(sys.argv[1]), draw, read)
        missed = unreached(found.corpus, read)
    for path in CORPUS.glob("*"):
        path.unlink()
    CORPUS.mkdir(exist_ok=True)
    for data in found.corpus:
        (CORPUS / xxhash.xxh3_64_hexdigest(data)).write_bytes(data)
    print(*missed, *found.errors, sep="\n")
    print(f"{found.n_reached} of {found.n_branches} in {found.n_runs} runs")


if __name__ == "__main__":
    main()
