"""The blueprint that a module was built from, kept by the module."""

# pyright: reportPrivateUsage=false
# A blueprint and its parts are one thing in several files.

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ...hyperparameters.comparing import own_node
from ...hyperparameters.declared_class import declared_class
from ...hyperparameters.hparams_writer import Writer
from ...hyperparameters.plain import BLUEPRINT, ORIGIN, RESULT
from ...hyperparameters.structure import note_structure
from ...hyperparameters.unstored import ALL, UNSTORED
from ...state.places import places_of, unwrapped
from ..construction.draft import Draft
from ..edits.edits import Entry
from ..lightning import keep_blueprint
from ..tree.arguments import Arguments
from ..tree.construction_node import Made


class Origin:
    """A class, its arguments and a tape, as they were; pickled as data, or left out."""

    def __init__(
        self,
        cls: type[nn.Module],
        given: Arguments,
        entries: Sequence[Entry],
        changed: Mapping[str, Made],
    ) -> None:
        self.cls, self.given, self.entries = cls, given, entries
        self.changed = changed
        """What was constructed at each path that the entries name."""

    def told(self, module: nn.Module, *, is_call_known: bool) -> dict[str, Any]:
        """Return what hyperparameters tell of it: nothing if a call tells it all."""
        if is_call_known and not self.entries:
            return {}
        return {BLUEPRINT: self.to_dict(module)}

    def to_dict(self, module: nn.Module) -> dict[str, Any]:
        """Return it as `Blueprint.to_dict` does, with what it has come to by now.

        Whoever loads the weights of ``module`` compares that with another module.
        """
        from .serialization import to_dict

        return {
            **to_dict(self.cls, self.given, self.entries),
            RESULT: self._result(module),
        }

    def part(
        self, module: nn.Module, path: str, part: nn.Module
    ) -> dict[str, Any] | None:
        """Return what ``part`` of ``module`` was made of; None if it is another one."""
        made = self.changed.get(path)
        if made is None or made.cls is not declared_class(type(part)):
            return None
        return Writer(partial=True, children=False).written(made.cls, made.arguments)

    def _result(self, module: nn.Module) -> list[Any]:
        """Return pairs of paths, and of what stands there; what is gone is left out."""
        modules = {prefix[:-1]: owner for prefix, owner in reversed(places_of(module))}
        result: dict[str, tuple[list[str], dict[str, Any]]] = {}
        for path in self.changed:
            part = modules.get(path)
            if part is None:
                continue
            node = dict(own_node(unwrapped(part)))
            if ALL in node.get(UNSTORED, {}):
                node = self.part(module, path, unwrapped(part)) or node
            elif not path:
                continue  # The hyperparameters of the whole stand beside this.
            # A pattern changes many parts alike, and they are told once.
            result.setdefault(repr(node), ([], node))[0].append(path)
        return [[paths, node] for paths, node in result.values()]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Origin":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from .serialization import to_dict

        try:
            data = to_dict(self.cls, self.given, self.entries)
            return (_from_pickle, (self.cls, data, [*self.changed]))
        except TypeError:
            return (_lost, ())


def sign(module: nn.Module, draft: Draft, sizes: Sequence[Entry], built: Draft) -> None:
    """Let ``module`` keep what it was built from, ``sizes`` by an example included.

    ``built`` is ``draft`` after the calls that came before building.
    """
    entries = (*draft.entries, *sizes)
    changed = {
        path: made
        for entry in (*built.entries, *sizes)
        for made in built.match(entry.target)
        for path in made.paths
    }
    changed.setdefault("", built.tree)
    origin = Origin(draft.tree.asked, draft.given, entries, changed)
    module.__dict__[ORIGIN] = origin
    note_structure(module)
    keep_blueprint(module, origin)


def _from_pickle(
    cls: type[nn.Module], data: Mapping[str, Any], paths: Sequence[str]
) -> Origin:
    from .serialization import from_dict

    draft = from_dict(data, cls)._draft
    changed = {path: made for made in draft.tree.walk() for path in made.paths}
    named = {p: changed[p] for p in paths if p in changed}
    return Origin(draft.tree.asked, draft.given, tuple(draft.entries), named)


def _lost() -> None:
    """Stand for what could not be pickled."""
