# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""A module as flat entries: parameters, buffers, extra state, and ties."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ...config.patterns import Patterns, matchers
from ...config.plain.node import Node
from ...config.process.interrupts import raise_of_signal
from ...config.short_text import first_names, with_article
from ...records.entries.entry import Entry, Kind, MemoryFormat, ParamId
from ...records.entries.nested_data import ExtraStateEncoder
from ...records.entries.nodes import renumbered
from ...records.entries.select import wrappers_around
from ...records.entries.wrapped_tensors import tensors_within
from ...records.errors import RecordError
from ...records.tensors.memory import (
    ORDINARY,
    alike,
    is_distributed,
    memory_address,
    unreadable,
)
from ...records.tensors.tensor_classes import is_wrapper
from ...records.tensors.torch_internals import transient_buffers
from ..modules.classes import declaration
from ..modules.tree import Places
from .extra_state import check_state_dict
from .grouping import group_paths
from .wrapped_tensors import WrapperForm

_Key: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class ModuleContent:
    """The content of a module's record: entries of its live tensors, and plain data."""

    entries: list[Entry] = field(default_factory=list[Entry])
    tree: dict[str, Node] = field(default_factory=dict[str, Node])
    """Extra state by path, with tensors in it replaced by numbers of entries."""
    extra: dict[str, nn.Module | WrapperForm] = field(
        default_factory=dict[str, nn.Module | WrapperForm]
    )
    """Modules with extra state, and the forms of wrapper tensors, by path."""
    twins: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    """Other tensors that share the memory of an entry, by its path."""
    formless: dict[str, tuple[str, Entry]] = field(
        default_factory=dict[str, tuple[str, Entry]]
    )
    """Why a tensor without a shape or values is not an entry, by its path.

    With it comes what patterns are matched against in its place.
    """
    is_partial: bool = False
    """Whether some class has skipped fields."""

    @property
    def wrappers(self) -> frozenset[str]:
        """The paths of tensors that wrap others."""
        return frozenset(
            path for path, value in self.extra.items() if isinstance(value, WrapperForm)
        )


def content_of(
    places: Places,
    ids: dict[int, ParamId] | None = None,
    *,
    encode: bool = True,
    is_left_out: Callable[[Entry | str], bool] | None = None,
) -> ModuleContent:
    """Return what the module at ``places`` stores; the tensors are the live ones.

    With ``encode=False`` the values of extra state are not encoded; ``is_left_out``
    returns whether nothing is needed at a path. Raises `RecordError` that names tensors
    without values or shape (lazy, on meta, nested) and extra state that is not plain
    data.
    """
    content = ModuleContent()
    _add_tensors(content, places, ids or {})
    # This runs for 5,000 modules at every save, which are of few classes.
    classes: set[type[nn.Module]] = set(map(type, map(itemgetter(1), places)))
    usual = nn.Module.get_extra_state
    keeps_more = {cls for cls in classes if cls.get_extra_state is not usual}
    for prefix, owner in places if keeps_more else ():
        if type(owner) in keeps_more:
            content.extra.setdefault(f"{prefix}_extra_state", owner)
    _leave_out(content, places)
    if content.formless:
        _check_form(content, is_left_out)
    if encode:
        check_state_dict(places, is_left_out)
        if content.extra:
            _encode_extra(content)
    return content


def _add_tensors(
    content: ModuleContent, places: Places, ids: dict[int, ParamId]
) -> None:
    by_tensor: dict[int, Entry] = {}
    transient_by_tensor: dict[int, Entry] = {}
    views = _Views()
    ties: dict[int, dict[str, None]] = {}
    # This runs for 5,000 modules at every save: a single loop, with few calls in it.
    for path, kind, tensor in named_tensors(places, content.extra):
        key = id(tensor)
        # A tensor that is in torch's state dict at only some of its paths has two
        # entries, or it would be missing where transient ones are left out.
        alike_kinds = transient_by_tensor if kind == "transient" else by_tensor
        known_entry = alike_kinds.get(key)
        if known_entry is not None:
            if path != known_entry.path:
                ties.setdefault(id(known_entry), {})[path] = None
            if kind == "parameter" and known_entry.kind == "buffer":
                _set_parameter(known_entry, tensor, ids)
            continue
        address = _ordinary_address(tensor)
        if not address:
            if problem := _without_form(tensor):
                content.formless[path] = problem, _formless_entry(path, kind, tensor)
                continue
            address = memory_address(tensor)
        is_shared = address in views.first
        known_entry = views.alike(address, kind, tensor) if is_shared else None
        if known_entry is not None:
            ties.setdefault(id(known_entry), {})[path] = None
            twin: Any = tensor
            if kind == "parameter" and known_entry.kind == "buffer":
                twin = known_entry.source
                _set_parameter(known_entry, tensor, ids)
            content.twins.setdefault(known_entry.path, []).append(twin)
            alike_kinds[key] = known_entry
            continue
        try:
            param_id = ids.get(key) if kind == "parameter" else None
            entry = _entry_of(path, kind, tensor, param_id)
        except RuntimeError as error:
            raise_of_signal(error)
            problem = unreadable(tensor) or "a tensor without a shape"
            content.formless[path] = problem, _formless_entry(path, kind, tensor)
            continue
        content.entries.append(entry)
        alike_kinds[key] = entry
        # Empty tensors may have any address, and share nothing.
        if address and 0 not in entry.shape:
            if is_shared:
                views.add(address, entry)
            else:
                views.first[address] = entry
    if ties:
        _set_ties(content.entries, ties)


def _ordinary_address(tensor: Tensor) -> int | None:
    """Return the address of an ordinary tensor's values; None or 0 if it has none."""
    try:
        # A subclass may override the method and return anything.
        return tensor.data_ptr() if type(tensor) in ORDINARY else None
    except RuntimeError as error:
        raise_of_signal(error)
        return None


def _entry_of(path: str, kind: Kind, tensor: Tensor, param_id: ParamId | None) -> Entry:
    """Return the entry of a tensor; RuntimeError if it has no shape."""
    shape = tuple(tensor.shape)
    entry = Entry(
        path, kind, tensor.dtype, shape, tensor, param_id, tensor.requires_grad
    )
    if len(shape) > 3:
        entry.memory_format = memory_format_of(tensor)
    return entry


def _set_parameter(entry: Entry, tensor: Tensor, ids: dict[int, ParamId]) -> None:
    """Turn an entry into that of a parameter, of which only a buffer was found before.

    A module's buffers come before the parameters of its children.
    """
    entry.kind, entry.source, entry.id = "parameter", tensor, ids.get(id(tensor))
    entry.requires_grad = tensor.requires_grad


def _formless_entry(path: str, kind: Kind, tensor: object) -> Entry:
    """Return what patterns are matched against: facts about ``tensor``, no values."""
    blank = torch.empty(0, dtype=torch.uint8)
    requires_grad = isinstance(tensor, Tensor) and tensor.requires_grad
    return Entry(path, kind, torch.uint8, (0,), blank, requires_grad=requires_grad)


def _set_ties(entries: Iterable[Entry], ties: dict[int, dict[str, None]]) -> None:
    for entry in entries:
        if id(entry) in ties:
            entry.ties = (*ties[id(entry)],)


def named_tensors(
    places: Places, forms: dict[str, nn.Module | WrapperForm] | None = None
) -> list[tuple[str, Kind, Tensor]]:
    """Return every parameter and buffer, a shared one at each of its paths.

    The parts of a wrapper tensor are returned as buffers; its description goes into
    ``forms``.
    """
    rows = held_tensors(places)
    has_wrappers = not ORDINARY.issuperset(map(type, map(itemgetter(2), rows)))
    return _unwrapped_rows(rows, forms) if has_wrappers else rows


def held_tensors(places: Places) -> list[tuple[str, Kind, Tensor]]:
    """Return every parameter and buffer; wrapper tensors are not taken apart."""
    rows: list[tuple[str, Kind, Tensor]] = []
    for prefix, owner in places:
        if owner._parameters:
            for name, parameter in owner._parameters.items():
                if parameter is not None:
                    rows.append((prefix + name, "parameter", parameter))
        if owner._buffers:
            transient = transient_buffers(owner)
            for name, buffer in owner._buffers.items():
                if buffer is not None:
                    kind: Kind = "transient" if name in transient else "buffer"
                    rows.append((prefix + name, kind, buffer))
    return rows


def _unwrapped_rows(
    rows: list[tuple[str, Kind, Tensor]],
    forms: dict[str, nn.Module | WrapperForm] | None,
) -> list[tuple[str, Kind, Tensor]]:
    unwrapped: list[tuple[str, Kind, Tensor]] = []
    for path, kind, tensor in rows:
        if not isinstance(tensor, Tensor) or not is_wrapper(tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # modules hold anything
            unwrapped.append((path, kind, tensor))
            continue
        inner_kind: Kind = "transient" if kind == "transient" else "buffer"
        for where, part in tensors_within(tensor, path):
            if not is_wrapper(part):
                unwrapped.append((where, inner_kind, part))
            elif forms is not None and kind != "transient":
                forms[where] = WrapperForm(part, where)
    return unwrapped


def memory_format_of(tensor: Tensor) -> MemoryFormat | None:
    """Return the order of dimensions in memory if it is not one of torch's defaults."""
    if tensor.is_contiguous():
        return None
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return "channels_last"
    if tensor.dim() == 5 and tensor.is_contiguous(memory_format=torch.channels_last_3d):
        return "channels_last_3d"
    return None


def _without_form(tensor: object) -> str | None:
    """Return why the values of a tensor are not available, or None if they are."""
    if not isinstance(tensor, Tensor):
        return (
            f"found {with_article(type(tensor).__name__)} among the parameters "
            "and buffers, expected a tensor. Register a tensor, "
            "torch.tensor(...), or keep the value as a plain attribute."
        )
    if nn.parameter.is_lazy(tensor) or tensor.is_meta or tensor.is_nested:
        return unreadable(tensor)
    return None


class _Views:
    """The entries at each address; several may start there, as different views."""

    def __init__(self) -> None:
        self.first: dict[int, Entry] = {}
        """The first entry found at each address; most have no other."""
        self._by_view: dict[_Key, list[Entry]] = {}
        self._indexed: set[int] = set()

    def alike(self, address: int, kind: Kind, tensor: Tensor) -> Entry | None:
        """Return the entry that is the same view of memory as ``tensor``, if any.

        A tensor in torch's state dict and one outside of it do not share an entry.
        """
        if address not in self._indexed:
            self._indexed.add(address)
            self.add(address, self.first[address])
        for entry in self._by_view.get(_view(address, kind, tensor), ()):
            candidate = entry.source
            if isinstance(candidate, Tensor) and alike(candidate, tensor):
                return entry
        return None

    def add(self, address: int, entry: Entry) -> None:
        """Add a further entry at an address that already has one."""
        if isinstance(entry.source, Tensor):
            key = _view(address, entry.kind, entry.source)
            self._by_view.setdefault(key, []).append(entry)


def _view(address: int, kind: Kind, tensor: Tensor) -> _Key:
    """Return a key that is equal for tensors that view one memory in the same way."""
    # The shape of a DTensor differs from that of its shard at the address.
    is_whole = type(tensor) in ORDINARY or not is_distributed(tensor)
    shape = (tensor.shape, tensor.stride()) if is_whole else ()
    return address, kind == "transient", tensor.dtype, shape


def _leave_out(content: ModuleContent, places: Places) -> None:
    """Drop what the decorated classes among the modules skip."""
    # This runs for 5,000 modules at every save, which are of few classes.
    classes = set(map(type, map(itemgetter(1), places)))
    skips = {cls: getattr(cls, "_burnish_skip", ()) for cls in classes}
    if not any(skips.values()):
        return
    skipped = [
        (prefix, skips[type(owner)]) for prefix, owner in places if skips[type(owner)]
    ]
    content.is_partial = True
    is_skipped = _Skips(skipped)
    remaining_entries: list[Entry] = []
    for entry in content.entries:
        paths = [p for p in (entry.path, *entry.ties) if not is_skipped(p)]
        if paths:
            twins = content.twins.pop(entry.path, None)
            entry.path, entry.ties = paths[0], tuple(paths[1:])
            if twins is not None:
                content.twins[entry.path] = twins
            remaining_entries.append(entry)
    content.entries = remaining_entries
    for by_path in (content.extra, content.formless):
        for path in [p for p in by_path if is_skipped(p)]:
            del by_path[path]


def _check_form(
    content: ModuleContent, is_left_out: Callable[[Entry | str], bool] | None
) -> None:
    wrappers = content.wrappers
    paths_by_problem: dict[str, list[str]] = {}
    for path, (problem, entry) in content.formless.items():
        entry.ties = tuple(wrappers_around(path, wrappers))
        if is_left_out is None or not is_left_out(entry):
            paths_by_problem.setdefault(problem, []).append(path)
    if paths_by_problem:
        # A whole model on the meta device is one problem, whatever its size.
        raise RecordError(
            "\n".join(
                f"{first_names(group_paths(paths), 20)}: {problem}"
                for problem, paths in paths_by_problem.items()
            )
        )


class _Skips:
    """Whether a path is a skipped field of some module, or inside one."""

    def __init__(self, skipped: Iterable[tuple[str, Patterns]]) -> None:
        self._tests = [(prefix, matchers(patterns)) for prefix, patterns in skipped]

    def __call__(self, path: str) -> bool:
        for prefix, tests in self._tests:
            if path.startswith(prefix):
                parts = path[len(prefix) :].split(".")
                heads = [".".join(parts[: i + 1]) for i in range(len(parts))]
                if any(test(head, None) for test in tests for head in heads):
                    return True
        return False


def _encode_extra(content: ModuleContent) -> None:
    for path, owner in content.extra.items():
        encoder = ExtraStateEncoder()
        try:
            node = encoder.encode(owner.get_extra_state(), path)
        except TypeError as error:
            skip = "skip=['_extra_state']"
            raise RecordError(
                f"{error}. get_extra_state of {type(owner).__qualname__} returns "
                "it; return plain data from there, or skip it: "
                f"{declaration(type(owner), skip)}."
            ) from None
        content.tree[path] = renumbered(node, encoder.move_to(content.entries))
