"""The hyperparameters of two records by path, as far as both have them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...config.path import join
from ...core.modules.registry import MODULE
from .part_view import PartView


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsPair:
    """The hyperparameters of two records, and the settings of an optimizer's groups."""

    a: dict[str, object] | None
    """By path; None where there are none."""
    b: dict[str, object] | None
    unpaired: list[str]
    """Parts of the module that only one of them describes: left out of both."""


def settings_of(a: PartView | None, b: PartView | None) -> SettingsPair:
    """Return the hyperparameters and the settings of groups of both.

    A pretrained folder describes parts that no argument of the class makes, and a
    record of the same module does not: that is not a difference between both.
    """
    unpaired = _names_without_pair(_hparams(a), _hparams(b))
    flat_a, flat_b = _flat_of(a, unpaired), _flat_of(b, unpaired)
    if a and b and flat_a and flat_b and len(a.groups) == len(b.groups) > 1:
        flat_a |= _group_by_param(a)
        flat_b |= _group_by_param(b)
    return SettingsPair(a=flat_a, b=flat_b, unpaired=unpaired)


def _group_by_param(view: PartView) -> dict[str, object]:
    """Return the number of each parameter's group, whose settings it has."""
    return {
        join(path, "group"): i for i, paths in enumerate(view.params) for path in paths
    }


def _hparams(view: PartView | None) -> Mapping[str, Any]:
    return {} if view is None or view.hparams is None else view.hparams


def _names_without_pair(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    parts_a, parts_b = ([k for k, v in s.items() if _is_part(v)] for s in (a, b))
    if (parts_a and parts_b) or not (a and b):
        return []
    return [k for k in parts_a if k not in b] + [k for k in parts_b if k not in a]


def _is_part(value: Any) -> bool:
    """Return whether this describes a module, or a container of modules."""
    if isinstance(value, Mapping):
        return MODULE in value or _are_parts([*value.values()])
    return isinstance(value, list | tuple) and _are_parts(value)


def _are_parts(values: Sequence[Any]) -> bool:
    return bool(values) and all(map(_is_part, values))


def _flat_of(
    view: PartView | None, unpaired: Sequence[str]
) -> dict[str, object] | None:
    if view is None:
        return None
    settings: dict[str, object] = {}
    if view.hparams is not None:
        paired = {k: v for k, v in view.hparams.items() if k not in unpaired}
        settings |= values_by_path(paired, "")
    for i, group in enumerate(view.groups):
        options = {"kind": group.kind, **group.hyperparameters}
        if group.schedule is not None:
            options["schedule"] = group.schedule
        settings |= values_by_path(options, f"groups.{i}")
    return settings or None


def values_by_path(tree: Any, path: str) -> dict[str, object]:
    """Return the values in ``tree`` by path."""
    children = (
        tree.items()
        if isinstance(tree, Mapping)
        else enumerate(tree)
        if isinstance(tree, list | tuple)
        else ()
    )
    values: dict[str, object] = {}
    for key, item in children:
        values |= values_by_path(item, join(path, str(key)))
    return values if values else {path: tree}
