# pyright: reportPrivateUsage=false
# The table in which a list of modules keeps its items has no public name.
"""Edits of the items of a list or dict of modules."""

from collections import OrderedDict

from torch import nn

from ....config.short_text import quantity, with_article
from ..edits.edits import END, ChangeItems, build_inside, name_in_dict
from ..errors import SettingError

_LISTS = (nn.ModuleList, nn.Sequential)
"""Containers whose items are numbered."""


def change_items(owner: nn.Module, change: ChangeItems) -> None:
    """Change the items of ``owner``, a list or a dict of modules."""
    path = change.target if isinstance(change.target, str) else str(change.target)
    if isinstance(owner, nn.ModuleDict):
        _change_dict(owner, change, path)
    elif isinstance(owner, _LISTS):
        _change_list(owner, change, path)
    else:
        name = type(owner).__qualname__
        raise SettingError(
            path,
            f"only lists and dicts of modules have items, found {with_article(name)}.",
        )


def _change_dict(owner: nn.ModuleDict, change: ChangeItems, path: str) -> None:
    key = name_in_dict(change, list(owner))
    if key is None:
        names_text = f"A dict has names, not positions; there are {list(owner)}."
        cure = " Name it: insert('name', item)." if change.kind == "insert" else ""
        raise SettingError(path, f"{change.kind} where? {names_text}{cure}")
    if change.kind == "insert":
        owner[key] = _item(change)
        return
    if key not in owner:
        raise SettingError(path, f"no item {key!r}; there are {list(owner)}.")
    del owner[key]


def _item(change: ChangeItems) -> nn.Module:
    if change.item is None:
        raise SettingError(str(change.target), f"{change.kind} needs an item.")
    return build_inside(change.item)


def _change_list(
    owner: nn.ModuleList | nn.Sequential, change: ChangeItems, path: str
) -> None:
    items: list[tuple[str, nn.Module]] = list(owner._modules.items())
    index = _index(change, [name for name, _ in items], path)
    if change.kind == "remove":
        del items[index]
    else:
        _check_item_name(owner, change.name, path)
        items.insert(index, (change.name, _item(change)))
    # Numbers are assigned again; names of an OrderedDict that are words are kept.
    numbered_items = (
        (str(i) if _is_number(n) else n, m) for i, (n, m) in enumerate(items)
    )
    owner._modules = OrderedDict(numbered_items)


def _check_item_name(
    owner: nn.ModuleList | nn.Sequential, name: object, path: str
) -> None:
    if not name:
        return
    problem = None
    if not isinstance(name, str):
        problem = f"name must be a str, got {name!r:.80}"
    elif isinstance(owner, nn.ModuleList):
        problem = "the items of an nn.ModuleList have numbers, not names"
    elif name in owner._modules:
        problem = f"an item {name!r} already exists"
    elif hasattr(owner, name):
        problem = f"{type(owner).__qualname__} already has an attribute {name!r}"
    elif not name.isidentifier():
        problem = f"{name!r} cannot name a part: expected a Python identifier"
    if problem is not None:
        raise SettingError(path, f"{problem}. Leave out name=, or choose another name.")


def _index(change: ChangeItems, names: list[str], path: str) -> int:
    """Return the index in the list that ``change`` refers to."""
    size = len(names)
    if isinstance(change.key, str):
        if change.key not in names:
            raise SettingError(path, f"no item {change.key!r}; there are {names}.")
        return names.index(change.key)
    last_index = size if change.kind == "insert" else size - 1
    if change.kind == "insert" and change.key == END:
        return size
    index = change.key + size if change.key < 0 else change.key
    if not 0 <= index <= last_index:
        raise SettingError(
            path, f"no item {change.key}; it has {quantity(size, 'item')}."
        )
    return index


def _is_number(name: str) -> bool:
    return not name or name.isdecimal()
