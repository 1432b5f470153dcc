"""The paths of a state's objects when they were saved, and after upgrades.

Objects refer to each other by path: an optimizer to the modules that it steps, a module
to those with which it shares tensors. A newer class may have other names, and even the
old names for other objects, so the file identifies the object of a name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...config.path import child
from ...config.tree import is_dict, is_items
from .blob_markers import blob_file

Files = Mapping[str, str]
"""The file of each object, by its path."""


def marked_files(tree: object, path: str = "") -> dict[str, str]:
    """Return the files that markers in the text of a state name, by path."""
    if is_dict(tree):
        below = [(child(path, key), item) for key, item in tree.items()]
    elif is_items(tree):
        below = [(child(path, i), item) for i, item in enumerate(tree)]
    else:
        file = blob_file(tree)
        return {} if file is None else {path: file}
    return {p: f for name, item in below for p, f in marked_files(item, name).items()}


@dataclass(frozen=True, slots=True)
class MovedObjects:
    """The paths of objects when they were saved, and in the current state."""

    saved: Files
    now: Files

    def path_now(self, path: str) -> str:
        """Return the current path of the object that was saved at ``path``.

        A name that no path has, if rules removed it: another may be at ``path``.
        """
        file = self.saved.get(path)
        if file is None or self.now.get(path) == file:
            return path
        places = (place for place, file_there in self.now.items() if file_there == file)
        return next(places, f"{path} (removed by a rule)")

    def __bool__(self) -> bool:
        """Return whether any object has moved."""
        return any(self.path_now(path) != path for path in self.saved)

    def carry(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record's metadata, with the new paths of other objects."""
        carried, about, ties = dict(facts), facts.get("about"), facts.get("ties")
        if isinstance(about, Mapping):
            carried["about"] = _carried_binding(about, self.path_now)
        if isinstance(ties, Mapping):
            carried["ties"] = {p: self._place(place) for p, place in ties.items()}
        return carried

    def _place(self, place: Any) -> Any:
        return _carried_name(place, self.path_now)


def _carried_binding(
    about: Mapping[str, Any], path_now: Callable[[str], str]
) -> dict[str, Any]:
    carried = dict(about)
    groups, versions = about.get("groups"), about.get("versions")
    if isinstance(groups, list):
        carried["groups"] = [
            [_carried_name(name, path_now) for name in group]
            if isinstance(group, list)
            else group
            for group in groups
        ]
    if isinstance(versions, Mapping):
        carried["versions"] = {path_now(at): of for at, of in versions.items()}
    if "module" in about:
        carried["module"] = _carried_name(about["module"], path_now)
    return carried


def _carried_name(name: Any, path_now: Callable[[str], str]) -> Any:
    """Return a pair of an object's path and one in it, the first updated.

    A file may hold anything else, which its reader refuses.
    """
    if isinstance(name, list) and len(name) == 2 and isinstance(name[0], str):
        return [path_now(name[0]), name[1]]
    return name
