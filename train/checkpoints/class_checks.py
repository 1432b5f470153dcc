"""Whether a part is of the class whose state is stored, as far as that is known."""

from collections.abc import Sequence

import torch

from ...config.process.user_warning import warn_user
from ...records.errors import RecordMismatchError
from ...records.flat_record import FlatRecord
from .param_names import stored_kind

STATE_OF = "state_of"
"""The metadata key of a state for the name of the object's class."""

ANOTHER_OBJECT = (
    "Nothing was changed. Restore into an object of the saved class, or "
    "restore only the other parts, and start this one from scratch."
)
"""Advice for a part that is not of the saved kind."""


def check_stored_class(
    name: str, names: Sequence[str], record: FlatRecord, *, checks_itself: bool
) -> None:
    """Raise RecordMismatchError for the state of another class of torch's.

    State dicts of two optimizers, or schedulers, may have the same keys, and most
    accept any. A user's class may have been renamed, so that is a warning, unless the
    object ``checks_itself``. ``names`` are the names of its class.
    """
    # An older file states it for optimizers alone.
    stored_class = str(record.metadata.get(STATE_OF) or stored_kind(record))
    if not stored_class or stored_class in names:
        return
    problem = f"found the state of {stored_class}, expected that of {', '.join(names)}"
    if any(
        all(hasattr(home, class_name) for class_name in (stored_class, *names))
        for home in (torch.optim, torch.optim.lr_scheduler)
    ):
        raise RecordMismatchError(
            record.reading.file, [f"{name}: {problem}"], ANOTHER_OBJECT
        )
    if not checks_itself:
        warn_user(
            f"{name}: {problem}; it is restored anyway, since the class may have "
            "been renamed. If the classes are different, restore only the other "
            "parts, and start this one from scratch",
            RuntimeWarning,
        )


def check_settings(
    name: str,
    optimizer: torch.optim.Optimizer,
    settings: list[set[str]],
    record: FlatRecord,
) -> None:
    """Raise RecordMismatchError if groups lose ``settings`` that they had before.

    torch accepts the groups of any other optimizer, and the next step fails.
    """
    for before, group in zip(settings, optimizer.param_groups, strict=False):
        absent = sorted(before - group.keys())
        if absent:
            raise RecordMismatchError(
                record.reading.file,
                [
                    f"{name}: found the state of a different optimizer, without "
                    f"{', '.join(absent)}, expected that of {type(optimizer).__name__}"
                ],
                ANOTHER_OBJECT,
            )
