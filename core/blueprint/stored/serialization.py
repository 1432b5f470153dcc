"""Blueprints as JSON-ready data: a class, its arguments, and the log of edits.

::

    {"blueprint": 1, "__module__": "net", "__name__": "Net",
     "arguments": {"width": 8},
     "tape": [{"do": "set", "at": "**.act", "class": {...}, "arguments": {}}]}

Calls and styles are stored by name, of marked methods and of registered functions.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, get_args

from torch import nn

from ....config.path import join
from ....config.tree import MAX_DEPTH
from ...errors import UnknownClassError
from ...evolution.upgrading import upgrade_blueprint
from ...hyperparameters.descriptions import UnstoredError
from ...hyperparameters.hparams_node import VERSION as CLASS_VERSION
from ...modules.registry import NAME, class_named, names_of
from ...modules.signature import parameters_of
from ...modules.versions import version_of
from ..construction.draft import Draft
from ..edits.edits import (
    AddHook,
    CallMethod,
    ChangeItems,
    Definition,
    Edit,
    HookKind,
    Initialize,
    SetArguments,
    Target,
    Unbuilt,
)
from ..edits.marks import marked_methods, moment_of, style_named
from ..edits.wrapped import holds_place
from ..errors import FormatError, SettingError
from ..tree.arguments import check_configurable
from .part_versions import versions_of_parts
from .plain_values import Decoder, encode_arguments, encode_plain
from .ruled_arguments import apply_to_arguments

ClassAt: TypeAlias = Callable[[Target], type[nn.Module] | None]
"""Returns the class of the first part that an edit applies to, None if none."""

VERSION = 1
_HOOK_KINDS: tuple[HookKind, ...] = get_args(HookKind)


def to_dict(
    definition: Definition, classes: Iterable[type[nn.Module]], class_at: ClassAt
) -> dict[str, Any]:
    """Return a blueprint as data; TypeError names what is not plain data.

    ``classes`` are those of its parts, whose versions are stored, and ``class_at``
    returns the class of the first part that an edit applies to.
    """
    cls = definition.cls
    version = version_of(cls)
    return {
        "blueprint": VERSION,
        **names_of(cls),
        **({CLASS_VERSION: version} if version else {}),
        "arguments": encode_arguments(cls, definition.arguments, ""),
        # Edits made by a method are made again by its call, which is on the tape.
        "tape": [
            _encode_edit(edit, cls, class_at)
            for edit in definition.edits
            if edit.is_logged
        ],
        **(versions_of_parts(classes) if definition.edits else {}),
    }


def decode_definition(
    data: object,
    cls: type[nn.Module] | None,
    read_blueprint: Callable[[object], Unbuilt],
    depth: int,
) -> Definition:
    """Return the definition in ``data``; none of it has run.

    Its calls are by name: `resolve_method` finds their methods. ``read_blueprint``
    reads the blueprints among its values.
    """
    stored_data = _check_head(data, depth)
    stored_cls = _class_of(stored_data, cls)
    stored_data = upgrade_blueprint(stored_cls, stored_data, apply_to_arguments)
    decoder = Decoder(read_blueprint)
    arguments = decoder.arguments(
        stored_cls, _mapping(stored_data, "arguments"), "arguments"
    )
    unknown = next((n for n in arguments if n not in parameters_of(stored_cls)), None)
    if unknown is not None:
        takes = f"{stored_cls.__qualname__} takes no such argument"
        raise FormatError(join("arguments", unknown), takes)
    tape = stored_data.get("tape", [])
    if not isinstance(tape, list):
        raise FormatError("tape", f"expected a list, found {tape!r:.60}")
    edits = [
        _decode_edit(item, decoder, f"tape.{i}", stored_cls)
        for i, item in enumerate(tape)
    ]
    check_configurable(stored_cls)
    return Definition(stored_cls, arguments, edits)


def check_class(cls: object) -> None:
    """Raise TypeError unless ``cls`` is a class of modules."""
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"cls must be a module class, got {cls!r:.80}")


def batches(edits: Iterable[Edit]) -> Iterator[list[Edit]]:
    """Yield ``edits`` in order: each call alone, and those between calls together.

    A method is looked up in the class that the edits before it have chosen.
    """
    for is_call, run in itertools.groupby(edits, lambda e: isinstance(e, CallMethod)):
        if is_call:
            yield from ([call] for call in run)
        else:
            yield list(run)


def resolve_method(draft: Draft, call: Edit) -> Edit:
    """Return ``call`` with the method or style that it names."""
    if not isinstance(call, CallMethod):
        return call
    path = call.target if isinstance(call.target, str) else join(*call.target[:1])
    nodes = draft.match(call.target) or [draft.tree]
    cls = nodes[0].cls
    if call.is_style:
        return replace(call, function=style_named(cls, call.name, path))
    method = getattr(cls, call.name, None)
    moment = moment_of(method)
    if moment is None or method is None:
        method_names = ", ".join(marked_methods(cls)) or "none"
        raise SettingError(
            path,
            f"{cls.__qualname__} has no marked method {call.name!r:.60}; "
            f"it has: {method_names}.",
        )
    return replace(call, function=method, moment=moment)


def _check_head(data: object, depth: int) -> Mapping[str, Any]:
    if depth > MAX_DEPTH:
        raise FormatError("", f"nested over {MAX_DEPTH} levels deep")
    if not isinstance(data, Mapping) or "blueprint" not in data:
        raise FormatError("", f"expected the dict of a blueprint, found {data!r:.60}")
    version = data["blueprint"]
    if version != VERSION:
        raise FormatError(
            "blueprint", f"expected version {VERSION}, found {version!r:.20}"
        )
    return data


def _class_of(data: Mapping[str, Any], cls: type[nn.Module] | None) -> type[nn.Module]:
    if cls is None:
        return class_named(data)
    if data.get(NAME) == cls.__qualname__:
        return cls
    try:
        stored_cls = class_named(data)
    except UnknownClassError:
        stored_cls = None
    if stored_cls is not None and issubclass(cls, stored_cls):
        return cls
    if stored_cls is None or not _exchanges_the_whole(data.get("tape")):
        raise another_class(data, cls)
    return stored_cls


def another_class(data: object, cls: type[nn.Module]) -> FormatError:
    """Return the error for ``data`` of a blueprint that does not build a ``cls``."""
    name = data.get(NAME) if isinstance(data, Mapping) else data
    return FormatError(
        "",
        f"this is a blueprint of {name!r:.80}, not of {cls.__qualname__}. Use its own "
        "class, or Blueprint.from_dict(data).",
    )


def _exchanges_the_whole(tape: object) -> bool:
    """Return whether an edit chooses another class for the whole."""
    edits: list[object] = tape if isinstance(tape, list) else []
    return any(
        isinstance(edit, Mapping) and edit.get("at") == "" and "class" in edit
        for edit in edits
    )


def _encode_edit(
    edit: Edit, whole: type[nn.Module], class_at: ClassAt
) -> dict[str, Any]:
    at = list(edit.target) if isinstance(edit.target, tuple) else edit.target
    head: dict[str, Any] = {"at": at}
    if edit.by != "user":
        head["by"] = edit.by
    where = at if isinstance(at, str) else join(*at[:1])
    if isinstance(edit, SetArguments):
        return head | _encode_set_arguments(edit, where, whole, class_at)
    # Values of other edits have no path below the part, so an error names the part.
    where = where or whole.__qualname__
    if isinstance(edit, CallMethod):
        do = "style" if edit.is_style else "call"
        return {"do": do, **head, "name": edit.name} | {
            "args": [encode_plain(v, Any, where) for v in edit.args],
            "kwargs": {n: encode_plain(v, Any, where) for n, v in edit.kwargs.items()},
        }
    if isinstance(edit, ChangeItems):
        item = (
            {} if edit.item is None else {"item": encode_plain(edit.item, Any, where)}
        )
        name = {"name": edit.name} if edit.name else {}
        return {"do": edit.kind, **head, "key": edit.key, **name, **item}
    if isinstance(edit, Initialize):
        return {"do": "initialize", **head, "name": _init_name(edit, where)} | {
            "tensors": list(edit.tensors),
            "args": [encode_plain(v, Any, where) for v in edit.args],
            "kwargs": {n: encode_plain(v, Any, where) for n, v in edit.kwargs.items()},
        }
    if not isinstance(edit, AddHook):
        raise TypeError(f"{where}: {type(edit).__name__} cannot be stored")
    keys, named_keys = list(edit.keys), dict(edit.named)
    return {"do": edit.kind, **head, "keys": keys, "named": named_keys}


def _encode_set_arguments(
    edit: SetArguments, where: str, whole: type[nn.Module], class_at: ClassAt
) -> dict[str, Any]:
    data: dict[str, Any] = {"do": "set"}
    if edit.cls is not None:
        data["class"] = encode_plain(edit.cls, Any, where)
    if not edit.keeps_arguments:
        data["keep"] = False
    if edit.wraps_at:
        data["wraps"] = edit.wraps_at
    owner = edit.cls or _known_class(edit.target, whole)
    try:
        data["arguments"] = encode_arguments(owner, edit.arguments, where)
    except UnstoredError:
        part_cls = class_at(edit.target)
        if owner is not nn.Module or part_cls is None:
            raise
        # The class of a part is known once the constructors have run, and a file is
        # read before that, so that the file states whose annotations apply.
        data["annotated"] = names_of(part_cls)
        data["arguments"] = encode_arguments(part_cls, edit.arguments, where)
    return data


def _known_class(target: Target, whole: type[nn.Module]) -> type[nn.Module]:
    """Return the class whose arguments an edit of ``target`` sets, if it is known.

    A pattern may match parts of several classes, which are known once it is built.
    """
    return whole if target == "" else nn.Module


def _decode_edit(
    item: object, decoder: Decoder, path: str, whole: type[nn.Module]
) -> Edit:
    if not isinstance(item, Mapping):
        raise FormatError(path, f"expected a dict, found {item!r:.60}")
    do, target, by = (
        item.get("do"),
        _target(item.get("at"), path),
        item.get("by", "user"),
    )
    if not isinstance(by, str):
        raise FormatError(path, f"'by' must be a string, found {by!r:.60}")
    if do == "set":
        return _decode_set_arguments(item, target, by, decoder, path, whole)
    if do in ("call", "style"):
        args, kwargs = _decode_call(item, decoder, path)
        # The edits before a call choose the class that has its method, so that it is
        # looked up when these are in the draft.
        return CallMethod(
            target=target,
            by=by,
            name=_text(item, "name", path),
            function=_unresolved,
            is_style=do == "style",
            args=args,
            kwargs=kwargs,
        )
    if do in ("insert", "remove"):
        return _decode_change(item, do, target, by, decoder, path)
    if do == "initialize":
        args, kwargs = _decode_call(item, decoder, path)
        return Initialize(
            target=target,
            by=by,
            function=_init_function(_text(item, "name", path), path),
            tensors=tuple(str(name) for name in _list(item, "tensors", path)),
            args=args,
            kwargs=kwargs,
            is_checked=True,
        )
    if do in _HOOK_KINDS:
        return _decode_hook(item, do, target, by, path)
    raise FormatError(path, f"{do!r:.60} is not a known edit")


def _decode_call(
    item: Mapping[str, Any], decoder: Decoder, path: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call, by position and by name."""
    args = [decoder.value(value, Any, path) for value in _list(item, "args", path)]
    keywords = _mapping(item, "kwargs", path).items()
    return tuple(args), {n: decoder.value(v, Any, path) for n, v in keywords}


def _decode_hook(
    item: Mapping[str, Any], kind: HookKind, target: Target, by: str, path: str
) -> AddHook:
    keys, named_keys = _list(item, "keys", path), _mapping(item, "named", path)
    if not all(isinstance(k, str) for k in keys):
        raise FormatError(path, f"'keys' must be strings, found {keys!r:.60}")
    return AddHook(
        target=target, by=by, kind=kind, keys=tuple(keys), named=dict(named_keys)
    )


def _decode_set_arguments(
    item: Mapping[str, Any],
    target: Target,
    by: str,
    decoder: Decoder,
    path: str,
    whole: type[nn.Module],
) -> SetArguments:
    cls = item.get("class")
    new_cls = None if cls is None else decoder.value(cls, Any, path)
    if new_cls is not None and not isinstance(new_cls, type):
        raise FormatError(path, f"expected a class, found {cls!r:.60}")
    annotated = new_cls or (
        class_named(_mapping(item, "annotated", path))
        if "annotated" in item
        else _known_class(target, whole)
    )
    arguments = decoder.arguments(annotated, _mapping(item, "arguments", path), path)
    keep = item.get("keep", True) is not False
    wraps_at = _text(item, "wraps", path) if "wraps" in item else ""
    if wraps_at and (new_cls is None or not holds_place(arguments)):
        raise FormatError(path, f"wraps, but has no place for the part: {item!r:.60}")
    return SetArguments(
        target=target,
        by=by,
        cls=new_cls,
        arguments=arguments,
        keeps_arguments=keep,
        wraps_at=wraps_at,
    )


def _decode_change(
    item: Mapping[str, Any],
    do: Any,
    target: Target,
    by: str,
    decoder: Decoder,
    path: str,
) -> ChangeItems:
    key = item.get("key")
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise FormatError(path, f"'key' must be an index or a name, found {key!r:.60}")
    item_value = decoder.value(item["item"], Any, path) if "item" in item else None
    if (do == "insert") is not isinstance(item_value, Unbuilt):
        raise FormatError(path, f"{do} with {item_value!r:.60}")
    name = _text(item, "name", path) if "name" in item else ""
    return ChangeItems(
        target=target, by=by, kind=do, key=key, item=item_value, name=name
    )


def _init_name(edit: Initialize, path: str) -> str:
    name = getattr(edit.function, "__name__", "")
    if getattr(nn.init, name, None) is not edit.function:
        raise TypeError(
            f"{path}: {edit.function!r:.80} is not plain data; of initializers, only "
            "those of torch.nn.init are."
        )
    return name


def _init_function(name: str, path: str) -> Callable[..., Any]:
    """Return the function of torch.nn.init that fills a tensor and has this name."""
    # The build calls the result: a file may name a function that fills a tensor, and no
    # other that torch.nn.init defines or imports.
    function: Callable[..., Any] | None = getattr(nn.init, name, None)
    is_public = name.endswith("_") and not name.startswith("_")
    if not is_public or function is None:
        raise FormatError(path, f"torch.nn.init has no initializer {name!r:.60}")
    return function


def _unresolved(*args: object, **kwargs: object) -> None:
    raise SettingError("", "a call was not found")


def _target(value: object, path: str) -> Target:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise FormatError(
        path, f"'at' must be a path or a list of paths, found {value!r:.60}"
    )


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
    raise FormatError(join(path, key), f"expected a string, found {value!r:.60}")
