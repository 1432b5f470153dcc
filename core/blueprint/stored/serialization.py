"""Blueprints as JSON-ready data: a class, its arguments, and the tape.

::

    {"blueprint": 1, "__module__": "net", "__name__": "Net",
     "arguments": {"width": 8},
     "tape": [{"do": "set", "at": "**.act", "class": {...}, "arguments": {}}]}

Calls and styles are by name, of methods that carry a mark and of registered functions.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from torch import nn

from ....config.path import join
from ...errors import UnknownClassError
from ...evolution.upgrading import upgraded_blueprint
from ...hyperparameters.plain import MAX_DEPTH
from ...hyperparameters.plain import VERSION as CLASS_VERSION
from ...modules.registry import NAME, class_named, names_of
from ...modules.signature import parameters_of
from ...modules.versions import version_of
from ..construction.draft import Draft
from ..edits.edits import (
    Call,
    Definition,
    Edit,
    Entry,
    Setting,
    Tap,
    TapKind,
    Target,
    Unbuilt,
)
from ..edits.marks import marked_methods, moment_of, style_named
from ..errors import FormatError, SettingError
from ..tree.arguments import check_configurable
from .plain_values import Reader, written, written_all

VERSION = 1
_TAPS: tuple[TapKind, ...] = get_args(TapKind)


def to_dict(definition: Definition) -> dict[str, Any]:
    """Return a blueprint as data; TypeError names what is no plain data."""
    cls = definition.cls
    version = version_of(cls)
    return {
        "blueprint": VERSION,
        **names_of(cls),
        **({CLASS_VERSION: version} if version else {}),
        "arguments": written_all(cls, definition.arguments, ""),
        "tape": [_written(entry) for entry in definition.entries if entry.on_tape],
    }


def definition_in(
    data: Any,
    cls: type[nn.Module] | None,
    read_blueprint: Callable[[Any], Unbuilt],
    depth: int,
) -> Definition:
    """Return what the blueprint in ``data`` was told; nothing of it has run.

    Its calls are by name: `resolved_call` finds their methods. ``read_blueprint``
    reads the blueprints among its values.
    """
    _check_head(data, depth)
    named = _class_of(data, cls)
    data = upgraded_blueprint(named, data)
    reader = Reader(read_blueprint)
    arguments = reader.all(named, _mapping(data, "arguments"), "arguments")
    unknown = next((n for n in arguments if n not in parameters_of(named)), None)
    if unknown is not None:
        takes = f"{named.__qualname__} takes no such argument"
        raise FormatError(join("arguments", unknown), takes)
    tape = data.get("tape", [])
    if not isinstance(tape, list):
        raise FormatError("tape", f"expected a list, found {tape!r:.60}")
    entries = [_entry(item, reader, f"tape.{i}") for i, item in enumerate(tape)]
    check_configurable(named)
    return Definition(named, arguments, entries)


def check_class(cls: object) -> None:
    """Raise TypeError unless ``cls`` is a class of modules."""
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"cls is a class of modules, got {cls!r:.80}")


def batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield ``entries`` in runs, each call by itself: its method has to be found."""
    for is_call, run in itertools.groupby(entries, lambda e: isinstance(e, Call)):
        if is_call:
            yield from ([call] for call in run)
        else:
            yield list(run)


def resolved_call(draft: Draft, call: Entry) -> Entry:
    """Return ``call`` with the method or style that it names."""
    if not isinstance(call, Call):
        return call
    path = call.target if isinstance(call.target, str) else join(*call.target[:1])
    made = draft.match(call.target) or [draft.tree]
    cls = made[0].cls
    if call.is_style:
        return replace(call, function=style_named(cls, call.name, path))
    method = getattr(cls, call.name, None)
    moment = moment_of(method)
    if moment is None or method is None:
        there = ", ".join(marked_methods(cls)) or "none"
        raise SettingError(
            path,
            f"{cls.__qualname__} has no marked method {call.name!r:.60}; "
            f"it has: {there}.",
        )
    return replace(call, function=method, moment=moment)


def _check_head(data: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FormatError("", f"nested over {MAX_DEPTH} levels deep")
    if not isinstance(data, Mapping) or "blueprint" not in data:
        raise FormatError("", f"expected the dict of a blueprint, found {data!r:.60}")
    version = data["blueprint"]
    if version != VERSION:
        raise FormatError(
            "blueprint", f"expected version {VERSION}, found {version!r:.20}"
        )


def _class_of(data: Mapping[str, Any], cls: type[nn.Module] | None) -> type[nn.Module]:
    if cls is None:
        return class_named(data)
    if data.get(NAME) == cls.__qualname__:
        return cls
    try:
        named = class_named(data)
    except UnknownClassError:
        named = None
    if named is None or not issubclass(cls, named):
        raise FormatError(
            "",
            f"this is a blueprint of {data.get(NAME)!r:.80}, not of "
            f"{cls.__qualname__}. Use its own class, or Blueprint.from_dict(data).",
        )
    return cls


def _written(entry: Entry) -> dict[str, Any]:
    at = list(entry.target) if isinstance(entry.target, tuple) else entry.target
    head: dict[str, Any] = {"at": at}
    if entry.by != "user":
        head["by"] = entry.by
    where = at if isinstance(at, str) else join(*at[:1])
    if isinstance(entry, Setting):
        return head | _written_setting(entry, where)
    if isinstance(entry, Call):
        do = "style" if entry.is_style else "call"
        return {"do": do, **head, "name": entry.name} | {
            "args": [written(v, Any, where) for v in entry.args],
            "kwargs": {n: written(v, Any, where) for n, v in entry.kwargs.items()},
        }
    if isinstance(entry, Edit):
        item = {} if entry.item is None else {"item": written(entry.item, Any, where)}
        return {"do": entry.kind, **head, "key": entry.key, **item}
    if not isinstance(entry, Tap):
        raise TypeError(f"{where}: {type(entry).__name__} is no entry of a tape")
    keys, named = list(entry.keys), dict(entry.named)
    return {"do": entry.kind, **head, "keys": keys, "named": named}


def _written_setting(entry: Setting, where: str) -> dict[str, Any]:
    data: dict[str, Any] = {"do": "set"}
    if entry.cls is not None:
        data["class"] = written(entry.cls, Any, where)
    if not entry.keep:
        data["keep"] = False
    data["arguments"] = written_all(entry.cls or nn.Module, entry.arguments, where)
    return data


def _entry(item: Any, reader: Reader, path: str) -> Entry:
    if not isinstance(item, Mapping):
        raise FormatError(path, f"expected a dict, found {item!r:.60}")
    do, target, by = (
        item.get("do"),
        _target(item.get("at"), path),
        item.get("by", "user"),
    )
    if not isinstance(by, str):
        raise FormatError(path, f"'by' is a text, found {by!r:.60}")
    if do == "set":
        return _setting(item, target, by, reader, path)
    if do in ("call", "style"):
        args = [reader.value(v, Any, path) for v in _list(item, "args", path)]
        named = _mapping(item, "kwargs", path).items()
        return Call(
            target=target,
            by=by,
            name=_text(item, "name", path),
            function=_not_found,
            is_style=do == "style",
            args=tuple(args),
            kwargs={n: reader.value(v, Any, path) for n, v in named},
        )
    if do in ("insert", "remove"):
        return _edit(item, do, target, by, reader, path)
    if do in _TAPS:
        kind: TapKind = do
        keys, named_keys = _list(item, "keys", path), _mapping(item, "named", path)
        if not all(isinstance(k, str) for k in keys):
            raise FormatError(path, f"'keys' are texts, found {keys!r:.60}")
        return Tap(
            target=target, by=by, kind=kind, keys=tuple(keys), named=dict(named_keys)
        )
    raise FormatError(path, f"nothing is known that does {do!r:.60}")


def _setting(
    item: Mapping[str, Any], target: Target, by: str, reader: Reader, path: str
) -> Setting:
    cls = item.get("class")
    known = None if cls is None else reader.value(cls, Any, path)
    if known is not None and not isinstance(known, type):
        raise FormatError(path, f"expected a class, found {cls!r:.60}")
    arguments = reader.all(known or nn.Module, _mapping(item, "arguments", path), path)
    keep = item.get("keep", True) is not False
    return Setting(target=target, by=by, cls=known, arguments=arguments, keep=keep)


def _edit(
    item: Mapping[str, Any], do: Any, target: Target, by: str, reader: Reader, path: str
) -> Edit:
    key = item.get("key")
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise FormatError(path, f"'key' is an index or a name, found {key!r:.60}")
    made = reader.value(item["item"], Any, path) if "item" in item else None
    if (do == "insert") is not isinstance(made, Unbuilt):
        raise FormatError(path, f"{do} with {made!r:.60}")
    return Edit(target=target, by=by, kind=do, key=key, item=made)


def _not_found(*args: Any, **kwargs: Any) -> None:
    raise SettingError("", "a call was not found")


def _target(value: Any, path: str) -> Target:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise FormatError(path, f"'at' is a path or a list of paths, found {value!r:.60}")


def _mapping(data: Mapping[str, Any], key: str, path: str = "") -> Mapping[str, Any]:
    value = data.get(key, {})
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return value
    raise FormatError(join(path, key), f"expected a dict, found {value!r:.60}")


def _list(data: Mapping[str, Any], key: str, path: str) -> list[Any]:
    value = data.get(key, [])
    if isinstance(value, list):
        return value
    raise FormatError(join(path, key), f"expected a list, found {value!r:.60}")


def _text(data: Mapping[str, Any], key: str, path: str) -> str:
    value = data.get(key)
    if isinstance(value, str):
        return value
    raise FormatError(join(path, key), f"expected a text, found {value!r:.60}")
