"""digests.txt: which records a HyperState checkpoint was saved with.

The text files beside it are there to be edited, and so cannot contain them; a record
cannot hold its own digest. The file has the format of ``sha256sum``.
"""

from collections.abc import Mapping

from ...records.errors import RecordFormatError
from ...records.io.remote.stored_folder import write_place
from ...records.io.remote.url import Place
from ...records.open import digest_of, verify_file
from .stored_files import MOST_BYTES, StoredFiles

FILE = "digests.txt"

_HEAD = "# Of the records beside it; remove the line of one that you replaced.\n"


def write_digests(folder: Place, digests: Mapping[str, str]) -> None:
    """Write the digests by the name of their files into ``folder``."""
    lines = [f"{digest}  {file}\n" for file, digest in digests.items()]
    write_place(folder / FILE, _HEAD + "".join(lines))


def read_digests(files: StoredFiles) -> dict[str, str]:
    """Return the digests among ``files``; empty for older checkpoints.

    RecordFormatError for a file with other content, or an empty one.
    """
    if not files.has(FILE):
        return {}
    try:
        text = files.data(FILE, MOST_BYTES)[:MOST_BYTES].decode()
        # A truncated file would look like one whose lines were removed.
        if not text.startswith("#"):
            raise ValueError("the first line is not a comment")
        pairs = [
            line.split(maxsplit=1)
            for line in text.splitlines()
            if line.strip() and not line.startswith("#")
        ]
        return {name.strip(): digest for digest, name in pairs}
    except ValueError as error:
        raise RecordFormatError(
            str(files.file(FILE)),
            f"digests that cannot be read ({error!s:.100})",
            "the ones that were saved",
            "Copy the file again, or use an older checkpoint.",
        ) from error


def check_digest(files: StoredFiles, name: str, digests: Mapping[str, str]) -> None:
    """Raise RecordFormatError if the file ``name`` is not what was saved."""
    expected = digests.get(name)
    if expected is None or digest_of(files.readable(name)) == expected:
        return
    verify_file(files.readable(name))
    raise RecordFormatError(
        str(files.file(name)),
        "a record that was not saved with this checkpoint",
        f"the one whose digest is in {FILE}",
        "Copy the folder again, or use another checkpoint. If you replaced the file on "
        f"purpose, remove its line from {FILE}.",
    )
