"""The versions of the classes in a record, when rules move the parts they belong to."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...config.patterns import wildcard_values
from ...config.rewriting.rewrite_rule import RewriteRule
from ...records.errors import RecordError
from ..modules.versions import path_after_rule
from .rule_effects import names_after
from .tensor_rules import StackTensors, UnstackTensor


class MovedVersions:
    """Versions by path of their part, after each of several rules.

    A rule moves a part by its name, or tensor by tensor, and the version moves along.
    If tensors leave a part that still exists, their target is a different part, of
    version 0.
    """

    def __init__(
        self,
        versions: Mapping[str, Any],
        paths: Iterable[str],
        places_now: Collection[str],
    ) -> None:
        self._versions = dict(versions)
        self._paths = set(paths)
        """The present path of each tensor, and of each extra state."""
        self._places_now = places_now

    def at(self, place: str) -> Any:
        """Return the version of the class at ``place``, 0 if none is known.

        Raises `RecordError` if rules have merged parts in such a way that it may have
        any version.
        """
        version = self._versions.get(place)
        if version is None:
            version = self._at_number(place)
        if isinstance(version, _Unclear):
            raise RecordError(version.message(place))
        return version

    def known(self) -> dict[str, Any]:
        """Return the versions that are known, by path."""
        return {p: v for p, v in self._versions.items() if not isinstance(v, _Unclear)}

    def apply(self, prefix: str, rule: RewriteRule) -> None:
        """Apply ``rule``, of the module whose paths start with ``prefix``.

        A path whose part was deleted has the version of the part that replaces it.
        """
        kept_versions: dict[str, Any] = {}
        new_versions: dict[str, Any] = {}
        has_parts = False
        for path, version in self._versions.items():
            has_parts = has_parts or _is_below(path, prefix)
            new_path = path_after_rule(path, prefix, rule)
            if new_path is not None:
                place_versions = kept_versions if new_path == path else new_versions
                place_versions[new_path] = version
        versions = kept_versions | new_versions
        # Rules of parts come after those of the whole, so paths without parts below are
        # not needed again.
        if has_parts:
            versions = self._with_moved(versions, prefix, rule)
        self._versions = versions

    def _at_number(self, place: str) -> Any:
        """Return the version of ``place`` by a pattern, for parts of unknown number."""
        names = place.split(".")
        for pattern, version in self._versions.items():
            is_pattern = isinstance(version, _Unclear) and "*" in pattern
            if is_pattern and wildcard_values(pattern.split("."), names) is not None:
                return version
        return 0

    def _with_moved(
        self, versions: dict[str, Any], prefix: str, rule: RewriteRule
    ) -> dict[str, Any]:
        """Return ``versions`` with those of parts that are moved tensor by tensor."""
        origins, renamed = self._move_tensors(prefix, rule)
        places_left = _places_left(origins, prefix)
        # Another part may have been renamed to the path that one leaves.
        for place in places_left - (versions.keys() - self._versions.keys()):
            versions.pop(place, None)
        for place, old_places in origins.items():
            if place in versions or place in old_places:
                continue
            gone_places = {
                old_place
                for old_place in old_places
                if _is_below(old_place, prefix)
                and (old_place in places_left or old_place not in self._places_now)
                and not _are_nested(old_place, place)
            }
            gone_versions = {
                self._versions.get(old_place, 0) for old_place in gone_places
            }
            if not any(gone_versions):
                continue
            is_stack = isinstance(rule, StackTensors | UnstackTensor)
            is_whole = (
                gone_places == old_places and place not in renamed and not is_stack
            )
            is_clear = is_whole and len(gone_versions) == 1
            versions[place] = (
                gone_versions.pop() if is_clear else _Unclear(rule, min(gone_places))
            )
        return versions

    def _move_tensors(
        self, prefix: str, rule: RewriteRule
    ) -> tuple[dict[str, set[str]], set[str]]:
        """Let ``rule`` move the tensors below ``prefix``.

        Returns the old parts of the tensors of each part, and the parts in which some
        tensors have another name.
        """
        inside = [path for path in self._paths if path.startswith(prefix)]
        self._paths.difference_update(inside)
        origins: dict[str, set[str]] = {}
        renamed: set[str] = set()
        for path in inside:
            old_place, _, old_name = path.rpartition(".")
            for name in names_after(rule, path[len(prefix) :]):
                self._paths.add(prefix + name)
                place, _, new_name = (prefix + name).rpartition(".")
                origins.setdefault(place, set()).add(old_place)
                if old_name != new_name:
                    renamed.add(place)
        return origins, renamed


def _places_left(origins: Mapping[str, set[str]], prefix: str) -> set[str]:
    """Return the parts below ``prefix`` all of whose tensors moved elsewhere.

    ``origins`` has, for each part with tensors, their old parts. A part whose tensors
    moved into a child of it still exists.
    """
    places_left = set[str]().union(*origins.values()) - origins.keys()
    for place, old_places in origins.items():
        places_left -= {
            old_place for old_place in old_places if _are_nested(old_place, place)
        }
    return {place for place in places_left if _is_below(place, prefix)}


def _are_nested(place: str, other_place: str) -> bool:
    return _is_below(place, f"{other_place}.") or _is_below(other_place, f"{place}.")


@dataclass(frozen=True, slots=True, eq=False)
class _Unclear:
    """The version of what ``rule`` makes of the part at ``origin`` and others."""

    rule: RewriteRule
    origin: str

    def message(self, place: str) -> str:
        return (
            f"{self.rule} makes {place} of {self.origin}. Both of their classes "
            "have versions, so it is not known which upgrade rules apply to "
            f"these tensors. Rename {self.origin} as a whole first, so that its "
            "version is renamed with it"
        )


def _is_below(place: str, prefix: str) -> bool:
    return len(place) > len(prefix) and place.startswith(prefix)
