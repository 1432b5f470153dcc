# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""ParamWatch: whether held parameters still stand where they stood in their module."""

from collections.abc import Container
from operator import getitem, is_
from typing import Any

from torch import Tensor, nn

from ...records.tensors.shares import is_sharded


class ParamWatch:
    """The places of some parameters; a look at 5,000 costs a thirtieth of their step.

    Only what leads to a parameter is watched: other layers may come and go. Sharded
    parameters are left out, since their wrapper exchanges them by itself.
    """

    def __init__(self, module: nn.Module, params: Container[Tensor]) -> None:
        self._owners: list[dict[str, Any]] = []
        self._names: list[str] = []
        self._values: list[Any] = []
        parts = [*module.modules()]
        leading = set[nn.Module]()
        for part in reversed(parts):  # children come before their parents
            direct = {
                n: p for n, p in part._parameters.items() if _is_watched(p, params)
            }
            below = {n: c for n, c in part._modules.items() if c in leading}
            self._add(part._parameters, direct)
            self._add(part._modules, below)
            if direct or below:
                leading.add(part)

    def is_unchanged(self) -> bool:
        """Return whether every place holds what it held."""
        try:
            return all(map(is_, map(getitem, self._owners, self._names), self._values))
        except KeyError:
            return False

    def _add(self, owner: dict[str, Any], values: dict[str, Any]) -> None:
        self._owners += [owner] * len(values)
        self._names += values
        self._values += values.values()


def _is_watched(param: Tensor | None, params: Container[Tensor]) -> bool:
    return param is not None and param in params and not is_sharded(param)
