"""Fields that are restored on first access."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ...config.classes.fields import fields_of
from ...config.path import parts
from ...config.spelling import did_you_mean
from .blob_markers import blob_files
from .stored_files import StoredFiles


@dataclass(slots=True)
class Origin:
    """The checkpoint from which a state was restored."""

    files: StoredFiles
    """Its records; replaced by those of a newer checkpoint that has them."""
    made: dict[str, Any] = field(default_factory=dict[str, Any])
    """The objects that were restored, by file."""
    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    """Digests of the records that were saved, by file; they move with the files."""
    has_moved: bool = False
    """Whether objects have other paths than those that records name."""


@dataclass(slots=True)
class Deferred:
    """A field of a lazy state that was not accessed yet."""

    load: Callable[[], Any]
    tree: Any
    """Its value in the text, with its markers."""
    origin: Origin

    @property
    def is_made(self) -> bool:
        """Whether another object used the field's value, which may have changed it."""
        return any(file in self.origin.made for file in self.files())

    @property
    def is_in_shares(self) -> bool:
        """Whether several processes wrote it together, into a folder."""
        return any(map(self.origin.files.is_folder, self.files()))

    def files(self) -> list[str]:
        """Return the names of the record files under the field."""
        return [*dict.fromkeys(blob_files(self.tree))]


class View:
    """The state as ``deserialize`` sees it: fields are restored on access."""

    def __init__(
        self,
        restore: Callable[[Any, Any, str], Any],
        cls: Any,
        tree: Mapping[str, Any],
    ) -> None:
        self._restore, self._cls, self._tree = restore, cls, tree
        self._values: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        part = fields_of(self._cls).get(name)
        if name.startswith("__") or part is None or name not in self._tree:
            hint = did_you_mean(name, self._tree)
            raise AttributeError(f"the state has no {name!r}.{hint}")
        if name not in self._values:
            self._values[name] = self._restore(part.annotation, self._tree[name], name)
        return self._values[name]


def value_in_state(state: Any, path: str) -> Any:
    """Return the value at ``path``, by attributes and items; None if absent."""
    node = state
    for name in _parts(path):
        if isinstance(node, Mapping):
            node = next((v for k, v in node.items() if str(k) == name), None)
        elif isinstance(node, list | tuple):
            node = node[int(name)] if int(name) < len(node) else None
        else:
            node = getattr(node, name, None)
    return node


# A run asks for the same few paths at each of its steps.
_parts = lru_cache(maxsize=256)(parts)
