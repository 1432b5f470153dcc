"""Forward hooks of a built module, added only where requested: logs and maps."""

import threading
from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from ..edits.edits import AddHook
from ..errors import SettingError

LOGS = "logs"
"""The attribute of the root that holds the log."""


class Logs(dict[str, Any]):
    """The inputs and outputs of the last forward, by the name they are logged under.

    Copies and pickles of it are empty, since its tensors are part of a graph.
    """

    is_used = False
    """Whether anything is logged here."""

    def __deepcopy__(self, memo: dict[int, object]) -> "Logs":
        memo[id(self)] = copy = Logs()
        return copy

    def __reduce__(self) -> tuple[object, ...]:
        return (Logs, ())


class LogInput:
    """Keeps the inputs: a single one as itself, several as a tuple."""

    def __init__(self, logs: Logs, name: str) -> None:
        self.logs, self.name = logs, name

    def __call__(
        self, module: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> None:
        """Log the inputs; change nothing."""
        values = (*args, *kwargs.values())
        self.logs[self.name] = values[0] if len(values) == 1 else values


class LogOutput:
    """Keeps the output."""

    def __init__(self, logs: Logs, name: str) -> None:
        self.logs, self.name = logs, name

    def __call__(self, module: nn.Module, args: object, output: object) -> None:
        """Log the output; change nothing."""
        self.logs[self.name] = output


class _Scope:
    """The dict that a module was called with, and the outputs its parts have added."""

    def __init__(self, inputs: Mapping[str, object]) -> None:
        self.inputs, self.outputs = inputs, dict[str, object]()

    def value(self, key: str) -> object:
        """Return the present value of ``key``; KeyError lists the existing ones."""
        for values in (self.outputs, self.inputs):
            if key in values:
                return values[key]
        names = [*{**self.inputs, **self.outputs}]
        raise KeyError(f"no input {key!r}; the dict has {names}")


class _Scopes(threading.local):
    """The scopes of the running modules of a thread, innermost last."""

    def __init__(self) -> None:
        self.stack: list[_Scope] = []


_scopes = _Scopes()


class DictMap:
    """Lets a module take inputs from a dict, and add its outputs to a copy of it.

    Inside of a module called with a dict, parts pass plain values on; there the map of
    a part refers to that dict: it adds inputs after the passed ones, and outputs.
    """

    def __init__(self) -> None:
        self.inputs: tuple[str, ...] = ()
        self.named_inputs: dict[str, str] = {}
        self.outputs: tuple[str, ...] = ()
        self.named_outputs: dict[str, int] = {}
        self._waiting = threading.local()

    def __reduce__(self) -> tuple[object, ...]:
        state = {n: v for n, v in self.__dict__.items() if n != "_waiting"}
        return (_dict_map, (state,))

    def before(
        self, module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Return the inputs from the dict: in its place, or after others."""
        is_dict = len(args) == 1 and isinstance(args[0], Mapping)
        if is_dict:
            scope: _Scope | None = _Scope(cast(Mapping[str, object], args[0]))
        else:
            scope = _scopes.stack[-1] if _scopes.stack else None
        # `after` needs the dict once the module has run, even within a recursion.
        self._stack().append((scope, is_dict))
        if is_dict and scope is not None:
            _scopes.stack.append(scope)
        if scope is None or not (self.inputs or self.named_inputs):
            return args, kwargs
        passed = () if is_dict else args
        positional = (scope.value(key) for key in self.inputs[len(passed) :])
        keywords = {name: scope.value(k) for name, k in self.named_inputs.items()}
        return (*passed, *positional), {**kwargs, **keywords}

    def after(self, module: nn.Module, args: object, output: Any) -> object:
        """Return a new dict with the outputs added, if the module got a dict."""
        scope, is_dict = self._stack().pop() if self._stack() else (None, False)
        if is_dict:
            _scopes.stack.pop()
        if scope is None or not (self.outputs or self.named_outputs):
            return output
        outputs = self._outputs_by_name(output)
        if is_dict:
            return {**scope.inputs, **scope.outputs, **outputs}
        scope.outputs.update(outputs)
        return output

    def _outputs_by_name(self, output: Any) -> dict[str, object]:
        # A tensor is a single output: its rows are not outputs by index.
        values = output if isinstance(output, tuple | list) else (output,)
        outputs: dict[str, object] = {}
        if len(self.outputs) == 1:
            outputs = {self.outputs[0]: output}
        elif self.outputs:
            outputs = dict(zip(self.outputs, values, strict=True))
        for name, index in self.named_outputs.items():
            outputs[name] = values[index]
        return outputs

    def _stack(self) -> list[tuple[_Scope | None, bool]]:
        if not hasattr(self._waiting, "stack"):
            self._waiting.stack = []
        stack: list[tuple[_Scope | None, bool]] = self._waiting.stack
        return stack


def _dict_map(state: dict[str, object]) -> DictMap:
    dict_map = DictMap()
    dict_map.__dict__.update(state)
    return dict_map


def add_hooks(
    root: nn.Module, hooks: list[tuple[nn.Module, AddHook]], logs: Logs
) -> None:
    """Add the hooks to the modules, and the log to ``root`` if anything is logged."""
    maps: dict[int, DictMap] = {}
    for module, hook in hooks:
        if hook.kind == "log_input":
            log = LogInput(logs, hook.keys[0])
            module.register_forward_pre_hook(log, with_kwargs=True)
        elif hook.kind == "log_output":
            module.register_forward_hook(LogOutput(logs, hook.keys[0]))
        else:
            if id(module) not in maps:
                maps[id(module)] = dict_map = DictMap()
                module.register_forward_pre_hook(dict_map.before, with_kwargs=True)
                module.register_forward_hook(dict_map.after, always_call=True)
            _set_map(maps[id(module)], hook)
    logs.is_used |= any(hook.kind.startswith("log") for _, hook in hooks)
    if logs.is_used:
        if getattr(root, LOGS, logs) is not logs:
            raise SettingError(
                "",
                f"{type(root).__qualname__} has an attribute {LOGS!r} of its own, "
                "which logging needs. Rename it.",
            )
        root.__dict__[LOGS] = logs


def _set_map(dict_map: DictMap, hook: AddHook) -> None:
    if hook.kind == "input_map":
        dict_map.inputs, dict_map.named_inputs = hook.keys, dict(hook.named)
    else:
        dict_map.outputs, dict_map.named_outputs = hook.keys, dict(hook.named)
