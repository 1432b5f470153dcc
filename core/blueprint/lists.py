"""Changes of lists and dicts of modules, while their owner is constructed."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import nn

from .entry import END, Edit
from .errors import SettingError

LISTS = (nn.ModuleList, nn.Sequential)
"""Whose items are numbered."""


def apply_edit(owner: nn.Module, edit: Edit) -> None:
    """Change ``owner``, a list or a dict of modules, as ``edit`` says."""
    path = edit.target if isinstance(edit.target, str) else str(edit.target)
    if isinstance(owner, nn.ModuleDict):
        _apply_to_dict(owner, edit, path)
    elif isinstance(owner, LISTS):
        _apply_to_list(owner, edit, path)
    else:
        name = type(owner).__qualname__
        raise SettingError(
            path, f"only lists and dicts of modules have items, found a {name}."
        )


def _apply_to_dict(owner: nn.ModuleDict, edit: Edit, path: str) -> None:
    key = name_in_dict(edit, list(owner))
    if key is None:
        there = f"A dict has names, not positions; there are {list(owner)}."
        how = " insert('name', item) says which." if edit.kind == "insert" else ""
        raise SettingError(path, f"{edit.kind} where? {there}{how}")
    if edit.kind == "insert":
        owner[key] = edit.item._built_inside()
        return
    if key not in owner:
        raise SettingError(path, f"no item {key!r}; there are {list(owner)}.")
    del owner[key]


def name_in_dict(edit: Edit, names: Sequence[str]) -> str | None:
    """Return the name that ``edit`` means in a dict of modules, None if it has none.

    A number is the name that is written so; -1 is the last one that there is.
    """
    key = edit.key
    if isinstance(key, str) or str(key) in names:
        return str(key)
    is_last = key == -1 and edit.kind == "remove" and len(names) > 0
    return names[-1] if is_last else None


def _apply_to_list(owner: Any, edit: Edit, path: str) -> None:
    items: list[tuple[str, nn.Module]] = list(owner._modules.items())
    index = _index(edit, [name for name, _ in items], path)
    if edit.kind == "remove":
        del items[index]
    else:
        items.insert(index, ("", edit.item._built_inside()))
    # Names that are numbers count again; those that are words stay.
    named = ((str(i) if _is_number(n) else n, m) for i, (n, m) in enumerate(items))
    owner._modules = OrderedDict(named)


def _index(edit: Edit, names: list[str], path: str) -> int:
    """Return the place in the list that ``edit`` means."""
    size = len(names)
    if isinstance(edit.key, str):
        if edit.key not in names:
            raise SettingError(path, f"no item {edit.key!r}; there are {names}.")
        return names.index(edit.key)
    last = size if edit.kind == "insert" else size - 1
    if edit.kind == "insert" and edit.key == END:
        return size
    index = edit.key + size if edit.key < 0 else edit.key
    if not 0 <= index <= last:
        raise SettingError(path, f"no item {edit.key}; it has {size} items.")
    return index


def _is_number(name: str) -> bool:
    return not name or name.isdecimal()
