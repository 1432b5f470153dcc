"""``burnish shard``: split a record into a folder of parts, as several processes do."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from ..config.printable import printable
from ..config.short_text import quantity
from .errors import answering
from .json_output import print_json
from .terminal import saving_bar
from .words import add_json, parser

ABOUT = "split a record by rows into a folder of parts, for any number of processes"

_EXAMPLES = """
burnish shard net.mpk net/ --parts 8
burnish shard model.safetensors model/ --parts 64 --force
"""


def main(argv: Sequence[str]) -> int:
    """Write the folder named in ``argv``, and return the exit status."""
    options = _parser().parse_args(argv)
    return answering(lambda: _run(options))


def _parser() -> ArgumentParser:
    words = parser("shard", ABOUT, _EXAMPLES)
    words.add_argument("file", help="a record of any format")
    words.add_argument("folder", help="the folder for the parts and their index")
    about = "how many parts; any number of processes can load them"
    words.add_argument("--parts", type=int, required=True, metavar="N", help=about)
    about = "write into a folder that is not empty; its record is replaced"
    words.add_argument("--force", action="store_true", help=about)
    add_json(words)
    return words


def _run(options: Namespace) -> int:
    from ..train.inspection.conversion import shard_file

    with saving_bar("cutting", options.file) as progress:
        n = shard_file(
            options.file,
            options.folder,
            options.parts,
            is_replacing=options.force,
            progress=progress,
        )
    facts = {"source": options.file, "target": options.folder}
    if options.json:
        print_json("shard", {**facts, "n_entries": n, "n_parts": options.parts})
    else:
        folder, source = printable(options.folder), printable(options.file)
        print(
            f"{folder}: {quantity(n, 'entry')} of {source} in "
            f"{quantity(options.parts, 'part')}"
        )
    return 0
