"""The blueprint that a module was built from, kept by the module."""

# pyright: reportPrivateUsage=false
# A blueprint and its parts are one thing in several files.

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from ..hyperparameters.plain import BLUEPRINT, ORIGIN
from .arguments import Arguments
from .checkpoints import keep_blueprint
from .draft import Draft
from .entry import Entry

if TYPE_CHECKING:
    from .blueprint import Blueprint


class Origin:
    """A class, its arguments and a tape, as they were; pickled as data, or left out."""

    def __init__(
        self, cls: type[nn.Module], given: Arguments, entries: Sequence[Entry]
    ) -> None:
        self.cls, self.given, self.entries = cls, given, entries

    def told(self, *, is_call_known: bool) -> dict[str, Any]:
        """Return what hyperparameters tell of it: nothing if a call tells it all."""
        if is_call_known and not self.entries:
            return {}
        return {BLUEPRINT: self.to_dict()}

    def to_dict(self) -> dict[str, Any]:
        """Return it as `Blueprint.to_dict` does."""
        from .serialize import to_dict

        return to_dict(self.cls, self.given, self.entries)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Origin":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            return (_from_pickle, (self.cls, self.to_dict()))
        except TypeError:
            return (_lost, ())


def sign(module: nn.Module, draft: Draft, sizes: Sequence[Entry]) -> None:
    """Let ``module`` keep what it was built from, ``sizes`` by an example included."""
    entries = (*draft.entries, *sizes)
    module.__dict__[ORIGIN] = origin = Origin(draft.tree.asked, draft.given, entries)
    keep_blueprint(module, origin)


def blueprint_of(module: nn.Module) -> "Blueprint[Any] | None":
    """Return a blueprint of what ``module`` was built from, None if it was not."""
    from .blueprint import Blueprint

    origin = module.__dict__.get(ORIGIN)
    if not isinstance(origin, Origin):
        return None
    return Blueprint.of_tape(origin.cls, origin.given, origin.entries)


def _from_pickle(cls: type[nn.Module], data: Mapping[str, Any]) -> Origin:
    from .serialize import from_dict

    draft = from_dict(data, cls)._draft
    return Origin(draft.tree.asked, draft.given, tuple(draft.entries))


def _lost() -> None:
    """Stand for what could not be pickled."""
