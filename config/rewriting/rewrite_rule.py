"""RewriteRule: one step from a version to the next, for everything with versions."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from ..errors import ConfigError, Problem
from ..tree import is_dict
from . import schema_edit
from . import schema_types as t

Entry = TypeVar("Entry")


class RewriteRule:
    """One step from a version to the next; every rule may be applied to any tree.

    A rule upgrades the trees of files, schemas, the flat entries of records, and names.
    A user-defined rule overrides ``apply`` for values, ``rename`` for the names of
    tensors and of a schema's fields, or both.
    """

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    tells_every_move: ClassVar[bool] = False
    """Whether ``rename`` returns for each value where ``apply`` puts it."""

    supplies_default: ClassVar[bool] = False
    """Whether ``apply`` only writes defaults where a file has no value."""

    @property
    def computed_field(self) -> tuple[str, ...] | None:
        """The field whose new value is computed by a function; None if none is."""
        return None

    def apply(self, tree: Any) -> None:
        """Upgrade ``tree`` from the old version to the new one, in place.

        A tree that the rule does not affect is unchanged. Raises ConfigError for one
        that cannot be upgraded.
        """

    def apply_to_schema(self, schema: t.Struct) -> None:
        """Upgrade ``schema`` as ``apply`` upgrades the files of its class, in place."""
        if type(self).rename is not RewriteRule.rename:
            schema_edit.move_fields(schema, self.rename)

    def apply_to_entries(
        self,
        entries: Mapping[str, Entry],
        derive: Callable[[Entry, Callable[[Any], Any]], Entry],
    ) -> dict[str, Entry]:
        """Return the flat entries of a record by their new paths.

        ``derive(entry, function)`` returns an entry whose value is computed from that
        of ``entry`` when it is read. Raises ConfigError for an invalid path, and for
        two entries that would get the same path.
        """
        if type(self).rename is RewriteRule.rename:
            return dict(entries)
        renamed: dict[str, Entry] = {}
        for path, entry in entries.items():
            new_path = renamed_path(self, path)
            if new_path is None:
                continue
            put_entry(self, renamed, new_path, entry)
        return renamed

    def rename(self, path: str) -> str | None:
        """Return the new path of the entry at ``path``, None if it is deleted."""
        return path

    def __repr__(self) -> str:
        values = [(name, getattr(self, name)) for name in self.__match_args__]
        arguments = ", ".join(f"{name}={as_source(value)}" for name, value in values)
        return f"{type(self).__name__}({arguments})"


def supplies_default(rule: object) -> bool:
    """Return whether ``rule`` only writes defaults where a file has no value.

    Any object with ``apply`` and ``rename`` is a rule; it need not derive from our
    class.
    """
    return getattr(rule, "supplies_default", False) is True


def put_entry(
    rule: RewriteRule, entries: dict[str, Entry], path: str, entry: Entry
) -> None:
    """Put ``entry`` at ``path``. ConfigError if ``rule`` has put another one there."""
    if path in entries:
        message = f"{rule}: two entries would be named {path}"
        raise ConfigError("", [Problem("", message)])
    entries[path] = entry


def renamed_path(rule: RewriteRule, path: str) -> str | None:
    """Return the new name of ``path`` by ``rule``; ConfigError for an invalid path."""
    new_path: Any = rule.rename(path)
    if new_path is not None and (not isinstance(new_path, str) or not new_path):
        message = f"{rule}: {path} would be named {new_path!r:.60}, not a valid path"
        raise ConfigError("", [Problem("", message)])
    return new_path


def as_source(value: object) -> str:
    """Return ``value`` as Python source, infinities and NaN too."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if is_dict(value):
        items = [f"{as_source(k)}: {as_source(v)}" for k, v in value.items()]
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_source, value))}]"
    return repr(value)


def check_rules(cls: type, version: int, rules: object) -> None:
    """Raise for rules without an older version, and for anything but a rule."""
    where = f"{cls.__qualname__}: upgrade_rules"
    if not isinstance(rules, Mapping):
        raise TypeError(
            f"{where} must be a dict from each older version to a list of rules, as in "
            f"{{0: [RenameField('old', 'new')]}}, got {rules!r:.60}"
        )
    rules_by_step: Mapping[Any, Any] = rules
    for step, of_step in rules_by_step.items():
        if not isinstance(step, int) or not 0 <= step < version:
            raise ValueError(
                f"{where} has rules for version {step!r}, but the class is at version "
                f"{version}. Rules lead from a version to the next one."
            )
        if not isinstance(of_step, list | tuple):
            raise TypeError(
                f"{where}[{step}] must be a list of rules, got {of_step!r:.60}"
            )
        for rule in of_step:  # pyright: ignore[reportUnknownVariableType]  # of anything
            # A user's own rule need not derive from ours: it has the same methods.
            is_rule = all(callable(getattr(rule, n, None)) for n in ("rename", "apply"))
            if isinstance(rule, type) or not is_rule:
                raise TypeError(
                    f"{where} has {rule!r:.60}, which is not a rule; burnish.config "
                    "has RenameField, DeleteField and others"
                )
