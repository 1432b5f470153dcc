"""Modules for a blueprint's forward: parallel branches, and logs."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...modules.registry import register_class
from .forward_hooks import Logs

_LOGS = "_burnish_logs"
"""The attribute of a part with the log of the whole that it was built in."""


@register_class
class Parallel(nn.ModuleDict):
    """Calls each of its items with the same input.

    ``Parallel(a, b)`` returns a list of outputs, ``Parallel(left=a, right=b)`` a dict.
    If the input is a dict, the output is a larger one: with the additions of items that
    have output maps, and with the outputs of named items under their names.
    """

    def __init__(self, *items: nn.Module, **named: nn.Module) -> None:
        super().__init__({**{str(i): m for i, m in enumerate(items)}, **named})

    def forward(self, x: Any) -> Any:
        """Return the outputs of all items."""
        outputs = {name: item(x) for name, item in self.items()}
        if isinstance(x, Mapping):
            return self._merged(x, outputs)
        n_named = sum(not name.isdecimal() for name in outputs)
        if n_named and n_named < len(outputs):
            raise ValueError(
                f"items {[*outputs]}: name all of them or none, or pass a dict as the "
                "input."
            )
        return outputs if n_named else list(outputs.values())

    def _merged(
        self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        merged = dict(inputs)
        for name, output in outputs.items():
            if isinstance(output, Mapping):
                # An unchanged value from one item must not undo an earlier item's
                # change.
                additions = {k: v for k, v in output.items() if v is not inputs.get(k)}
                merged.update(additions)
            elif name.isdecimal():
                raise ValueError(
                    f"item {name} does not return a dict: give it a name, or "
                    "set_output_map."
                )
            else:
                merged[name] = output
        return merged


class _LogPart(nn.Module):
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def extra_repr(self) -> str:
        """Return the key."""
        return repr(self.key)


@register_class
class LogTensor(_LogPart):
    """Returns its input, and keeps it in the ``logs`` of the whole under ``key``.

    In a module that was not built by a blueprint it keeps nothing.
    """

    def forward(self, value: Any) -> Any:
        """Return ``value``."""
        logs = self.__dict__.get(_LOGS)
        if logs is not None:
            logs[self.key] = value
        return value


@register_class
class FromLogs(_LogPart):
    """Returns the value that the whole has logged under ``key``, for any input."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the value; KeyError lists the logged keys."""
        logs = self.__dict__.get(_LOGS, {})
        if self.key not in logs:
            keys = [*logs] or "nothing"
            raise KeyError(
                f"nothing is logged as {self.key!r} yet; there is {keys}. log_output, "
                "log_input and LogTensor log in modules that a blueprint built."
            )
        return logs[self.key]


def connect(module: nn.Module, logs: Logs) -> None:
    """Give a part that logs, or reads logs, the log of the whole."""
    if isinstance(module, _LogPart):
        module.__dict__[_LOGS] = logs
        logs.is_used = True
