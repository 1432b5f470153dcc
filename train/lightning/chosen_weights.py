"""Selecting what is saved of a Lightning module, and keeping the rest in a load."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ...config.patterns import matchers
from ...core.evolution.upgrading import upgrade_left_out, upgrade_record
from ...core.modules.tree import places_of
from ...records.flat_record import FlatRecord
from ..checkpoints.choice import WHOLE, Choice
from ..checkpoints.part_kinds import part_of, warn_of_unsaved
from .checkpoint_folder import MODEL

LEFT_OUT = "burnish_left_out"
"""The key of the paths that were not saved, in a checkpoint that was read."""


def left_out_of(module: nn.Module | None, choice: Choice) -> frozenset[str]:
    """Return the paths of ``module`` that ``choice`` leaves out.

    Raises ValueError for a pattern that matches nothing.
    """
    if module is None or choice == WHOLE:
        return frozenset()
    part = part_of(MODEL, module)
    part.choose(choice)
    return part.left_out


def carried_over(
    record: FlatRecord, left_out: frozenset[str], module: nn.Module
) -> tuple[FlatRecord, frozenset[str]]:
    """Return a record of ``module``'s class, upgraded to its current version.

    Beside it are the paths that were not saved, under their current names. Raises
    RecordVersionError for a newer class, and RecordMismatchError where the rules do not
    fit.
    """
    places = places_of(module)
    upgraded = upgrade_record(record, places)
    return upgraded, upgrade_left_out(record, places, left_out)


def live_values(
    left_out: Iterable[str], state_dict: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a module's live values that were not saved, and warn about them.

    Lightning would report them as missing.
    """
    # Rules of a newer class may contain wildcards: layers.*.weight.
    tests = matchers([*left_out])
    live = {p: v for p, v in state_dict.items() if any(test(p, None) for test in tests)}
    warn_of_unsaved(MODEL, [*live])
    return live
