"""Hooks of modules that run at the end of a load (torch's load post-hooks)."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from ....config.process.interrupts import raise_of_signal
from ....records.errors import RecordMismatchError
from ....records.report import LoadReport
from ....records.tensors.torch_internals import load_post_hooks
from ...modules.classes import is_of_torch
from ...modules.tree import Places


class PostHooks:
    """The post-hooks of the modules at ``places``, which may use the new values.

    Torch calls them at the end of ``load_state_dict``, children first, and so does a
    load here. If the load is undone, they are called again with the old values.
    """

    def __init__(self, places: Places, file: str, report: LoadReport) -> None:
        self._file, self._report = file, report
        self._owners = {
            id(owner): (prefix, owner)
            for prefix, owner in reversed(places)
            if load_post_hooks(owner) and any(True for _ in _hooks(owner))
        }
        self._called: list[nn.Module] = []

    def __bool__(self) -> bool:
        return bool(self._owners)

    @property
    def prefixes(self) -> Iterable[str]:
        """The prefixes of the paths whose values the hooks may look at."""
        return [prefix for prefix, _ in self._owners.values()]

    def call(self) -> None:
        """Call all. Raises `RecordMismatchError` with the error of a hook."""
        # The type of their argument is private in torch, and is obtained from a result.
        keys: Any = nn.Identity().load_state_dict({})
        keys.missing_keys.extend(self._report.missing)
        keys.unexpected_keys.extend(self._report.unexpected)
        for prefix, owner in self._owners.values():
            self._called.append(owner)
            try:
                _call(owner, keys)
            except Exception as error:
                raise_of_signal(error)
                place = prefix.rstrip(".") or type(owner).__qualname__
                problem = f"{place}: a post-hook of its load failed with {error!r}"
                raise RecordMismatchError(self._file, [problem]) from error

    def call_again(self) -> None:
        """Call the called ones again, with the restored values."""
        while self._called:
            _call(self._called.pop(0), nn.Identity().load_state_dict({}))


def _hooks(owner: nn.Module) -> Iterator[Any]:
    # Torch's own hooks belong to wrappers, which gather their values here.
    return (h for h in load_post_hooks(owner).values() if not is_of_torch(h))


def _call(owner: nn.Module, keys: Any) -> None:
    for hook in _hooks(owner):
        hook(owner, keys)
