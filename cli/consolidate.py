"""``burnish consolidate``: merge a folder of several processes into one file."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from ..config.printable import printable
from ..config.short_text import quantity
from ..records.io.remote.address import size_at
from .errors import answering
from .json_output import print_json
from .terminal import saving_bar
from .words import add_json, parser

ABOUT = "merge a record in a folder of parts into one file"

_EXAMPLES = """
burnish consolidate net/ net.mpk
burnish consolidate runs/x/step000000001000/model model.safetensors
"""


def main(argv: Sequence[str]) -> int:
    """Write the file named in ``argv``, and return the exit status."""
    options = _parser().parse_args(argv)
    return answering(lambda: _run(options))


def _parser() -> ArgumentParser:
    words = parser("consolidate", ABOUT, _EXAMPLES)
    about = "the folder, with index.mpk and the parts that processes saved"
    words.add_argument("folder", help=about)
    words.add_argument("out", help="the file to write; its suffix sets the format")
    words.add_argument(
        "--force", action="store_true", help="overwrite an existing file"
    )
    add_json(words)
    return words


def _run(options: Namespace) -> int:
    from ..train.inspection.conversion import consolidate_folder

    with saving_bar("writing", options.out) as progress:
        n = consolidate_folder(
            options.folder, options.out, is_replacing=options.force, progress=progress
        )
    facts = {"source": options.folder, "target": options.out}
    if options.json:
        size = size_at(options.out)
        print_json("consolidate", {**facts, "n_entries": n, "n_bytes": size})
    else:
        out, source = printable(options.out), printable(options.folder)
        print(f"{out}: {quantity(n, 'entry')} of {source}")
    return 0
