"""A check that several processes that load one module read the same record."""

from collections.abc import Sequence
from typing import Any

from ...config.short_text import quantity
from ..entries.entries import Entries
from ..errors import RecordMismatchError
from ..processes.messages import n_processes, rank, united
from .save_plan import value_digest


def check_same_record(record: Entries, groups: Sequence[Any]) -> None:
    """Raise `RecordMismatchError` on all processes if they read different records.

    Otherwise each would have rows of its own record, all of them verified. ``groups``
    are those that this process belongs to. Values are compared, and no IDs. A record
    that was never stored, or was opened before there were groups, is not compared.
    """
    if all(n_processes(group) == 1 for group in groups):  # or there are none
        return
    content = record.reading.fingerprint
    # An optimizer's state is matched by IDs, which each process may have created.
    is_by_path = content and not record.is_typed
    choice = value_digest([entry.path for entry in record.entries()]).hex()
    if len(united([content] if content else [], groups=groups)) > 1:
        raise _error(
            record, groups, "the processes load different records", _SAME_CONTENT
        )
    if len(united([choice] if is_by_path else [], groups=groups)) > 1:
        raise _error(
            record,
            groups,
            "the processes load different entries of one record",
            "Open it with the same only=, exclude= and rename= on all of them.",
        )


_SAME_CONTENT = (
    "Load the same record on all of them; if it was saved again meanwhile, "
    "load it again. Load what only one process has into its module alone "
    "(burnish.load_record(net.experts, file))."
)


def _error(
    record: Entries, groups: Sequence[Any], problem: str, cure: str
) -> RecordMismatchError:
    file = record.reading.file
    n_entries = quantity(len(record.entries()), "entry")
    load = f"process {rank():05d} {n_entries} of {file}"
    loads = [_in_words(text) for text in united([load], groups=groups)]
    more = f" and {len(loads) - 4} more" if len(loads) > 4 else ""
    return RecordMismatchError(
        file,
        [f"{problem}, so each would fill its own rows: {', '.join(loads[:4])}{more}"],
        f"Nothing was changed. {cure}",
    )


def _in_words(text: str) -> str:
    # Numbers of the same length are in order when sorted as strings.
    word, number, content = text.split(" ", 2)
    return f"{word} {int(number)} {content}"
