# pyright: reportPrivateUsage=false
# Nn.Module's tables have no public names.
"""A module as flat entries: parameters, buffers, extra state, and what is tied."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from ...config.path import Patterns, matchers
from ...records.entry import Entry, Kind, MemoryFormat, ParamId
from ...records.errors import RecordError
from ...records.tree import Encoder, Node, renumbered
from .extra_state import check_state_dict, extra_state, has_extra_state
from .places import Places

_Key: TypeAlias = tuple[Any, ...]


@dataclass(slots=True)
class Content:
    """What a module would store: entries over its live tensors, and plain data."""

    entries: list[Entry] = field(default_factory=list[Entry])
    tree: dict[str, Node] = field(default_factory=dict[str, Node])
    """Extra state by path, tensors in it as numbers of entries."""
    extra: dict[str, nn.Module] = field(default_factory=dict[str, nn.Module])
    """The modules that have extra state, by its path."""
    twins: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    """Other tensors over the memory of an entry, by its path."""
    is_partial: bool = False
    """Whether a class said to skip fields."""


def content_of(
    places: Places, ids: dict[int, ParamId] | None = None, *, encode: bool = True
) -> Content:
    """Return what the module at ``places`` stores; the tensors are the live ones.

    ``encode=False`` leaves the values of extra state alone. Raises `RecordError` that
    names every tensor without values (lazy, on meta) and extra state that is no data.
    """
    content = Content()
    _add_tensors(content, places, ids or {})
    for prefix, owner in places:
        if has_extra_state(owner):
            content.extra.setdefault(f"{prefix}_extra_state", owner)
    _leave_out(content, places)
    if encode:
        check_state_dict(places)
        _encode_extra(content)
    return content


def _add_tensors(content: Content, places: Places, ids: dict[int, ParamId]) -> None:
    entries, problems = content.entries, list[str]()
    by_tensor: dict[int, Entry] = {}
    by_address: dict[int, list[Entry]] = {}
    # 5,000 modules pass here at every save: one loop, and few calls in it.
    for path, kind, tensor in _named_tensors(places):
        key = id(tensor)
        known = by_tensor.get(key)
        if known is not None:
            if path != known.path and path not in known.ties:
                known.ties += (path,)
            continue
        address = _address(tensor)
        if not address and (problem := _without_values(tensor)):
            problems.append(f"{path}: {problem}")
            continue
        if address in by_address:
            known = _tied(by_address[address], kind, tensor)
            if known is not None:
                known.ties += (path,)
                content.twins.setdefault(known.path, []).append(tensor)
                by_tensor[key] = known
                continue
        entry = Entry(
            path,
            kind,
            tensor.dtype,
            tuple(tensor.shape),
            tensor,
            ids.get(key),
            tensor.requires_grad,
        )
        if tensor.ndim > 3:
            entry.memory_format = memory_format_of(tensor)
        entries.append(entry)
        by_tensor[key] = entry
        if address:
            by_address.setdefault(address, []).append(entry)
    if problems:
        raise RecordError("\n".join(problems))


def _named_tensors(places: Places) -> list[tuple[str, Kind, Tensor]]:
    named: list[tuple[str, Kind, Tensor]] = []
    for prefix, owner in places:
        for name, parameter in owner._parameters.items():
            if parameter is not None:
                named.append((prefix + name, "parameter", parameter))
        if owner._buffers:
            transient = owner._non_persistent_buffers_set
            for name, buffer in owner._buffers.items():
                if buffer is not None:
                    kind: Kind = "transient" if name in transient else "buffer"
                    named.append((prefix + name, kind, buffer))
    return named


def _address(tensor: Tensor) -> int:
    """Return where the values are, or 0 for a tensor without memory of its own."""
    try:
        return tensor.data_ptr()
    except (RuntimeError, ValueError):
        return 0


def memory_format_of(tensor: Tensor) -> MemoryFormat | None:
    """Return the order of dimensions in memory if it is none of torch's default."""
    if tensor.is_contiguous():
        return None
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return "channels_last"
    if tensor.dim() == 5 and tensor.is_contiguous(memory_format=torch.channels_last_3d):
        return "channels_last_3d"
    return None


def _without_values(tensor: Tensor) -> str | None:
    if nn.parameter.is_lazy(tensor):
        return (
            "a lazy tensor that has no shape yet. Run the module once on an example "
            "of its input, then save or load it."
        )
    if tensor.is_meta:
        return (
            "a tensor on the meta device, which has no values. Build the module with "
            "from_record or skip_init, or move it with to_empty(device=...)."
        )
    return None


def _tied(entries: list[Entry], kind: Kind, tensor: Tensor) -> Entry | None:
    """Return which of ``entries``, all at one address, shows the same memory alike.

    Not one of the two kinds if only the other is in torch's state dict.
    """
    for entry in entries:
        other = entry.source
        if (
            isinstance(other, Tensor)
            and other.dtype is tensor.dtype
            and other.shape == tensor.shape
            and other.stride() == tensor.stride()
            and other.device == tensor.device
            and (entry.kind == "transient") == (kind == "transient")
        ):
            return entry
    return None


def _leave_out(content: Content, places: Places) -> None:
    """Drop what the decorated classes among the modules said to skip."""
    skipped = [
        (prefix, patterns)
        for prefix, owner in places
        if (patterns := getattr(type(owner), "_burnish_skip", ()))
    ]
    if not skipped:
        return
    content.is_partial = True
    is_skipped = _Skips(skipped)
    kept: list[Entry] = []
    for entry in content.entries:
        paths = [p for p in (entry.path, *entry.ties) if not is_skipped(p)]
        if paths:
            twins = content.twins.pop(entry.path, None)
            entry.path, entry.ties = paths[0], tuple(paths[1:])
            if twins is not None:
                content.twins[entry.path] = twins
            kept.append(entry)
    content.entries = kept
    for path in [p for p in content.extra if is_skipped(p)]:
        del content.extra[path]


class _Skips:
    """Whether a path is a skipped field of some module, or stands inside one."""

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


def _encode_extra(content: Content) -> None:
    for path, owner in content.extra.items():
        encoder = Encoder()
        try:
            node = encoder.encode(extra_state(owner), path)
        except TypeError as error:
            raise RecordError(
                f"{error}. It is what get_extra_state of {type(owner).__qualname__} "
                "returns; return plain data there, or skip it: "
                f"@burnish.module(skip=[{'_extra_state'!r}])."
            ) from None
        first = len(content.entries)
        number = {i: first + i for i in range(len(encoder.entries))}
        for entry in encoder.entries:
            entry.kind = "extra"
        content.entries += encoder.entries
        content.tree[path] = renumbered(node, number)
