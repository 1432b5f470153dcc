# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""State of a module besides parameters and buffers: torch's ``get_extra_state``."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from ...config.patterns import Patterns, matches
from ...config.process.interrupts import raise_of_signal
from ...records.entries.entry import Entry
from ...records.entries.state_dict_marks import EXTRA_STATE
from ...records.errors import RecordError
from ...records.tensors.memory import storage_of
from ...records.tensors.torch_internals import state_dict_hooks, state_dict_writer
from ..modules.tree import WRAPPING, Places, wraps


def check_state_dict(
    places: Places, is_left_out: Callable[[Entry | str], bool] | None = None
) -> None:
    """Raise `RecordError` for a module with tensors that only its own methods save.

    Classes and hooks that add more to a state dict (packed weights of quantized layers,
    sums of a metric) would lose it here. Those that only rename, convert or filter
    entries do not. ``is_left_out`` returns whether a path is not to be saved.
    """
    known_tensors: _Known | None = None
    usual: set[type] = set()
    for prefix, owner in places:
        # This runs for 5,000 modules at every save.
        if type(owner) in usual and not state_dict_hooks(owner):
            continue
        if _is_usual(type(owner)) and not state_dict_hooks(owner):
            usual.add(type(owner))
            continue
        # Wrappers gather distributed tensors, and have no state of their own.
        if any(wraps(owner, name) for name in owner._modules):
            continue
        known_tensors = known_tensors or _Known(places)
        for path, tensor in _tensors(_state_dict_of(owner), prefix):
            if known_tensors.has(path, tensor) or (is_left_out and is_left_out(path)):
                continue
            raise RecordError(
                f"{path}: {type(owner).__qualname__} writes it into its state dict, "
                f"and it is neither a parameter nor a buffer. {_cure(places)}"
            )


def _cure(places: Places) -> str:
    if any(_holds_quantized(_state_dict_of(owner)) for _, owner in places):
        return (
            "torch quantized the module, and a record cannot hold such tensors: save "
            "it before it is quantized, quantize with torchao, whose weights can be "
            "stored, or save its state dict with torch.save."
        )
    return (
        "Store it with get_extra_state and set_extra_state of the class, list "
        "it in skip= of @burnish.module, or save the state dict: "
        "burnish.Record.from_state_dict(module.state_dict()).save(file)."
    )


def _holds_quantized(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.is_quantized
    if isinstance(value, Mapping):
        return any(map(_holds_quantized, cast("Mapping[Any, object]", value).values()))
    is_nested = isinstance(value, list | tuple)
    return is_nested and any(map(_holds_quantized, cast("list[object]", value)))


def _is_usual(cls: type[nn.Module]) -> bool:
    return (
        state_dict_writer(cls) is state_dict_writer(nn.Module)
        and cls.state_dict is nn.Module.state_dict
    )


def _state_dict_of(owner: nn.Module) -> Mapping[str, Any]:
    """Return what ``owner`` and its hooks add to a state dict; nothing if they fail.

    Many overrides accept no arguments.
    """
    state: dict[str, Any] = {}
    # By position, as torch calls it: users' classes may name the arguments differently.
    state_dict_writer(owner)(state, "", True)
    if not state_dict_hooks(owner) and type(owner).state_dict is nn.Module.state_dict:
        return state
    write: Callable[..., Any] = owner.state_dict
    for options in ({"keep_vars": True}, dict[str, bool]()):
        try:
            state_dict = write(**options)
        except Exception as error:  # a class that refuses to write one loses nothing
            raise_of_signal(error)
            continue
        return {**state, **state_dict} if isinstance(state_dict, Mapping) else state
    return state


def _tensors(state: Mapping[Any, object], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in state.items():
        path = f"{prefix}{name}"
        if isinstance(value, Tensor):
            yield path, value
        elif isinstance(value, Mapping) and name != EXTRA_STATE:
            yield from _tensors(value, f"{path}.")  # pyright: ignore[reportUnknownArgumentType]  # anything


class _Known:
    """The content of a record of the modules at ``places``, by path and by memory."""

    def __init__(self, places: Places) -> None:
        self.paths: set[str] = set()
        self.tensors: set[int] = set()
        self.storages: set[int] = set()
        self.skips: list[tuple[str, Patterns]] = []
        for prefix, owner in places:
            self.paths.add(prefix + EXTRA_STATE)
            if patterns := getattr(type(owner), "_burnish_skip", ()):
                self.skips.append((prefix, patterns))
            for name, tensor in (*owner._parameters.items(), *owner._buffers.items()):
                self.paths.add(prefix + name)
                if tensor is not None:
                    self.tensors.add(id(tensor))
                    self.storages.add(storage_of(tensor))
        self.storages.discard(0)

    def has(self, path: str, tensor: Tensor) -> bool:
        """Return whether the record contains it, or was told to leave it out."""
        if path in self.paths or id(tensor) in self.tensors:
            return True
        if storage_of(tensor) in self.storages:
            return True
        # A wrapper's own names for its content.
        short = ".".join(part for part in path.split(".") if part not in WRAPPING)
        return short in self.paths or any(
            path.startswith(prefix) and matches(patterns, path[len(prefix) :])
            for prefix, patterns in self.skips
        )
