"""What of a module of Lightning is saved, and what of it stays when one is loaded."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from ..checkpoints.choice import WHOLE, Choice
from ..checkpoints.part_kinds import part_of, warn_of_unsaved

LEFT_OUT = "burnish_left_out"
"""Where a checkpoint that was read has the paths of what was not saved."""


def left_out_of(name: str, module: nn.Module | None, choice: Choice) -> frozenset[str]:
    """Return the paths of ``module`` that ``choice`` leaves out.

    ``name`` is that of the module's part. ValueError for a pattern of nothing.
    """
    if module is None or choice == WHOLE:
        return frozenset()
    part = part_of(name, module)
    part.choose(choice)
    return part.left_out


def live_values(
    name: str, left_out: Iterable[str], state_dict: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the live values of what was not saved of a module, and warn of them.

    Lightning would take them for missing. ``name`` is that of the module's part.
    """
    live = {path: state_dict[path] for path in left_out if path in state_dict}
    warn_of_unsaved(name, [*live])
    return live
