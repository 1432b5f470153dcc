"""Stored extra state, set on its modules, and restored if one of them refuses."""

import copy
from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import nn

from ....config.process.interrupts import raise_of_signal
from ....config.process.transaction import Undo
from ....records.entries.entries import Entries
from ....records.entries.nested_data import extra_state
from ....records.entries.state_dict_marks import EXTRA_STATE
from ....records.errors import RecordMismatchError
from ..entries import ModuleContent
from ..wrapped_tensors import WrapperForm
from .plan import LoadPlan, LoadStep


class StoredExtra:
    """The extra state in a record that modules are to be given."""

    def __init__(self, content: ModuleContent, plan: LoadPlan, record: Entries) -> None:
        self._file = record.reading.file
        self._modules = {path: content.extra[path] for path in plan.extra}
        tensors = {path: e.tensor() for path, e in plan.extra_tensors.items()}
        extra = (extra_state(record) if plan.extra else {}) | tensors
        # A module may overwrite live values when it is given those of another.
        self._stored: dict[str, Any] = copy.deepcopy(
            {path: extra[path] for path in plan.extra}
        )

    @property
    def prefixes(self) -> Iterable[str]:
        """The prefixes of the paths whose values a module may look at.

        Torch too fills a module before it sets its extra state, from which some compute
        further attributes.
        """
        return [path.removesuffix(EXTRA_STATE) for path in self._modules]

    def current(self) -> dict[str, Any]:
        """Return copies of the present extra state of the modules, by path."""
        current: dict[str, Any] = {}
        for path, module in self._modules.items():
            try:
                current[path] = copy.deepcopy(module.get_extra_state())
            except Exception as error:
                raise_of_signal(error)
                raise self._refusal(path, "get_extra_state", error) from error
        return current

    def hand_over(self, current: dict[str, Any], undos: list[Undo]) -> None:
        """Set the stored state on the modules; ``undos`` receive what restores it."""
        for path, module in self._modules.items():
            if path in current:
                undos.append(partial(_set, module, current[path]))
            try:
                _set(module, self._stored[path])
            except Exception as error:
                raise_of_signal(error)
                raise self._refusal(path, "set_extra_state", error) from error

    def _refusal(self, path: str, method: str, error: Exception) -> Exception:
        problem = f"{path}: {method} failed with {error!r}"
        return RecordMismatchError(self._file, [problem])


def steps_below(prefixes: Iterable[str], steps: Iterable[LoadStep]) -> frozenset[int]:
    """Return the numbers of the steps whose paths start with one of ``prefixes``."""
    owners = tuple(prefixes)
    if not owners:
        return frozenset()
    paths = [(step.target.path, *step.target.ties) for step in steps]
    return frozenset(
        i for i, names in enumerate(paths) if any(n.startswith(owners) for n in names)
    )


def _set(module: nn.Module | WrapperForm, state: object) -> None:
    module.set_extra_state(state)
