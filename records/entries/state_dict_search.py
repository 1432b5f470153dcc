"""Search for the state dict inside a checkpoint."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

import torch

from ...config.process.user_warning import warn_user
from ...config.short_text import first_names, with_article
from ..errors import ForeignFileError
from .optimizer_states import is_optimizer_state, optimizers_in, subscripts

USUAL_NAMES = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "params_ema",
    "params",
)
"""Keys under which other programs' checkpoints have their state dict."""

_Keys: TypeAlias = tuple[Any, ...]
"""The keys that lead to a value inside a file; they need not be strings."""

_DEEPEST = 4

_PLAIN = (str, bytes, Mapping, list, tuple, set)


def state_dict_in(content: object, file: str, read: str) -> Mapping[str, Any]:
    """Return the state dict nearest to the top; raise if there are several.

    A warning names weights beside it. ``read`` is the expression that returns
    ``content``, for the suggestions in errors.
    """
    level: dict[_Keys, Any] = {(): content}
    beside: list[_Keys] = []
    for _ in range(_DEEPEST):
        level = {k: item for k, item in level.items() if not is_optimizer_state(item)}
        state_dicts = {
            path: item for path, item in level.items() if _is_state_dict(item)
        }
        if state_dicts:
            chosen_path = _chosen([*state_dicts], file, read)
            beside += [path for path in state_dicts if path != chosen_path]
            if beside:
                _warn_of_rest(beside, chosen_path, file, read)
            return cast("Mapping[str, Any]", state_dicts[chosen_path])
        level = {
            (*path, key): value
            for path, item in level.items()
            if isinstance(item, Mapping)
            for key, value in item.items()
        }
        beside += [path for path, item in level.items() if _is_weight(item)]
    if (empty := _empty_state_dict(content)) is not None:
        return empty
    if optimizer_paths := [keys for keys, _ in optimizers_in(content)]:
        raise _of_optimizer(optimizer_paths, file, read)
    raise ForeignFileError(
        file,
        f"{with_article(type(content).__name__)} without a state dict",
        "names and tensors",
    )


def _chosen(paths: list[_Keys], file: str, read: str) -> _Keys:
    """Return the only path, or the only one with a usual name; raise otherwise."""
    if len(paths) == 1:
        return paths[0]
    usual = [path for path in paths if path and path[-1] in USUAL_NAMES]
    if len(usual) != 1:
        raise _ambiguous(paths, file, read)
    return usual[0]


def names_beside(
    content: object, state_dict: object, path: _Keys = ()
) -> Iterator[str]:
    """Yield the non-empty parts of ``content`` outside of ``state_dict``."""
    if not isinstance(content, Mapping) or content is state_dict:
        return
    items: Mapping[Any, Any] = content
    for key, value in items.items():
        below = (*path, key)
        if len(below) <= _DEEPEST and _leads_to(value, state_dict, _DEEPEST):
            yield from names_beside(value, state_dict, below)
        elif value is not None and not (isinstance(value, _PLAIN) and not value):
            yield _dotted(below)


def _leads_to(value: object, state_dict: object, depth: int) -> bool:
    if value is state_dict:
        return True
    if depth == 0 or not isinstance(value, Mapping):
        return False
    items: Mapping[Any, Any] = value
    return any(_leads_to(item, state_dict, depth - 1) for item in items.values())


def _dotted(path: _Keys) -> str:
    return ".".join(map(str, path))


def _warn_of_rest(paths: list[_Keys], path: _Keys, file: str, read: str) -> None:
    beside = first_names(map(_dotted, paths), 5)
    warn_user(
        f"{file}: only the state dict {_dotted(path)!r} was read, not the other "
        f"weights in the file ({len(paths)}): {beside}. To read others: "
        f"burnish.Record.from_state_dict({read}[key]).",
    )


def _is_state_dict(item: object) -> bool:
    """Return whether these are names and tensors, perhaps with extra state.

    Where there are more tensors below, a loss or the state of a generator means
    nothing: the weights are below.
    """
    if not isinstance(item, Mapping) or not all(isinstance(key, str) for key in item):
        return False
    if not any(isinstance(value, torch.Tensor) for value in item.values()):
        return False
    if not any(_holds_tensors(value) for value in item.values()):
        return True
    is_container = any(key in item and _is_state_dict(item[key]) for key in USUAL_NAMES)
    return not is_container and any(map(_is_weight, item.values()))


def _of_optimizer(paths: list[_Keys], file: str, read: str) -> ForeignFileError:
    names = f" ({first_names(map(_dotted, paths), 10)})" if paths[0] else ""
    return ForeignFileError(
        file,
        f"the state of a torch optimizer{names}",
        "the state dict of a module",
        "The optimizer loads it: "
        f"optimizer.load_state_dict({read}{subscripts(paths[0])}).",
    )


def _empty_state_dict(content: object) -> Mapping[str, Any] | None:
    """Return the state dict of a module without tensors, if alone or at a usual key."""
    if not isinstance(content, Mapping):
        return None
    items = cast("Mapping[str, Any]", content)
    usual_values = (items[name] for name in USUAL_NAMES if name in items)
    candidates = (items, *usual_values)
    return next((x for x in candidates if isinstance(x, Mapping) and not x), None)


def _is_weight(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.dim() > 0
    )


def _holds_tensors(value: object) -> bool:
    """Return whether a dict or a list contains tensors."""
    stack, met_ids = [value], set[int]()
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            children = list(item.values())
        elif isinstance(item, list | tuple | set):
            children = list(cast("list[Any]", item))
        else:
            continue
        # A list in a pickle may contain itself.
        if id(item) not in met_ids:
            met_ids.add(id(item))
            if any(isinstance(x, torch.Tensor) for x in children):
                return True
            stack += children
    return False


def _ambiguous(paths: list[_Keys], file: str, read: str) -> ForeignFileError:
    return ForeignFileError(
        file,
        f"{len(paths)} state dicts: {first_names(map(_dotted, paths), 10)}",
        "one",
        f"Choose one: burnish.Record.from_state_dict({read}{subscripts(paths[0])}).",
    )
