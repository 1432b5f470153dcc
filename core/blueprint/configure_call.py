"""Conversion of a call of ``configure`` to edits."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from ...config.short_text import short_repr, with_article
from ...config.spelling import did_you_mean
from .edits.edits import Edit, SetArguments, Target, Unbuilt, definition_of
from .errors import SettingError
from .parts import Parts
from .tree.arguments import (
    argument_names,
    check_configurable,
    edited_call_of,
    has_argument,
    settable_names,
    taken_text,
    var_keyword_of,
)
from .tree.construction_node import ConstructionNode
from .tree.module_values import class_and_arguments, stands_for_module


def edits_for(
    parts: Parts,
    args: Sequence[object],
    kwargs: Mapping[str, object],
    snapshot: Callable[[object], object],
) -> list[Edit]:
    """Return the edits for ``configure(*args, **kwargs)`` on ``parts``.

    ``snapshot`` copies values, so that later changes by the caller have no effect.
    """
    for where, value in enumerate(args[:-1]):
        if isinstance(value, type) and issubclass(value, nn.Module):
            name = value.__qualname__
            raise TypeError(
                f"pass the arguments of {name} by name, as in configure('head', "
                f"{name}, bias=False), or in a blueprint: replace('head', "
                f"Blueprint({name}, ...)); got {short_repr(args[where + 1])}"
            )
    if kwargs:
        if args and stands_for_module(args[-1]):
            return _put(_select_parts(parts, args[:-1]), args[-1], kwargs)
        return _edits_by_name(_select_parts(parts, args), kwargs, snapshot)
    if len(args) == 1 and stands_for_module(args[0]):
        return _put(parts, args[0], {})
    if len(args) == 1 and isinstance(args[0], Mapping):
        edits = (edits_for(parts, pair, {}, snapshot) for pair in args[0].items())
        return [edit for edits_of_pair in edits for edit in edits_of_pair]
    if len(args) < 2:
        raise TypeError(
            "configure what? configure(width=8), configure('width', 8), "
            "configure('layers.*', bias=False) or configure('**.act', nn.GELU)"
        )
    return _edits_for_value(parts, args[:-1], args[-1], snapshot)


def swap(
    target: Target,
    value: object,
    arguments: Mapping[str, object],
    *,
    keeps_arguments: bool = True,
) -> list[Edit]:
    """Return the edits that replace the parts at ``target`` by ``value``."""
    if isinstance(value, Unbuilt):
        definition = definition_of(value.new())
        cls, class_arguments = definition.cls, dict(definition.arguments)
        inner_edits = [
            moved_edit
            for edit in definition.edits
            for moved_edit in edit.moved_under(target)
        ]
        # A blueprint has arguments of its own; those of the maker do not apply to it.
        keeps_arguments = False
    else:
        cls, class_arguments = class_and_arguments(value)
        inner_edits = []
        keeps_arguments = keeps_arguments and not isinstance(value, nn.Module)
    check_configurable(cls)
    if not inner_edits:
        class_arguments, arguments = {**class_arguments, **arguments}, {}
    class_edit = SetArguments(
        target=target,
        cls=cls,
        arguments=class_arguments,
        keeps_arguments=keeps_arguments,
    )
    # Arguments of the call override the edits of the blueprint, so they come last.
    argument_edits = _argument_edits(target, arguments)
    return [class_edit, *inner_edits, *argument_edits]


def _put(parts: Parts, value: object, arguments: Mapping[str, object]) -> list[Edit]:
    """Return the edits that replace ``parts`` by ``value``, or raise."""
    edits = swap(parts.target, value, arguments)
    class_edit = edits[0]
    is_empty_by_wish = isinstance(value, Unbuilt)
    if (
        isinstance(class_edit, SetArguments)
        and class_edit.cls in _LISTS
        and not is_empty_by_wish
    ):
        for node in parts.nodes():
            _check_not_emptied(node, class_edit)
    return edits


_ITEMS: dict[type[nn.Module], tuple[str, str]] = {
    nn.Sequential: ("part, ...", "..."),
    nn.ModuleList: ("[part, ...]", "[...]"),
    nn.ModuleDict: ("{'name': part, ...}", "{'name': ...}"),
}
"""How each list of modules is given items: a part with others, and others alone."""
_LISTS = tuple(_ITEMS)


def _check_not_emptied(node: ConstructionNode, class_edit: SetArguments) -> None:
    """Raise `SettingError` if a list without items replaces a layer."""
    call = edited_call_of(node, (*node.edits, class_edit))
    # A list that its maker fills later needs no arguments.
    is_filled_later = issubclass(node.cls, _LISTS) and not node.arguments
    if call.arguments or is_filled_later:
        return
    name, list_name = node.cls.__qualname__, call.cls.__qualname__
    of_part, of_others = _ITEMS.get(call.cls, _ITEMS[nn.Sequential])
    raise SettingError(
        node.path,
        f"this {name} would become {with_article(list_name)} without items. To "
        f"put the {name} into it, wrap({node.path!r}, lambda part: "
        f"Blueprint(nn.{list_name}, {of_part})); to put other parts there, "
        f"Blueprint(nn.{list_name}, {of_others}); to remove it, nn.Identity.",
    )


def _argument_edits(target: Target, arguments: Mapping[str, object]) -> list[Edit]:
    return [SetArguments(target=target, arguments=arguments)] if arguments else []


def _select_parts(parts: Parts, selectors: Sequence[Any]) -> Parts:
    return parts.select(tuple(selectors)) if selectors else parts


def _edits_for_value(
    parts: Parts,
    selectors: Sequence[Any],
    value: object,
    snapshot: Callable[[object], object],
) -> list[Edit]:
    """Return the edits for a path or a name, and one value."""
    name_or_index = selectors[-1]
    target_parts = _select_parts(parts, selectors)
    is_module = stands_for_module(value)
    if not isinstance(name_or_index, str):
        return _put(target_parts, value, {})
    head, _, name = name_or_index.rpartition(".")
    is_bare_name = len(selectors) == 1 and not head
    # The owner of a longer path is not needed if the path means parts: the owner of
    # "**.act" is everything, for which the makers would run again.
    if is_module and not is_bare_name and target_parts.nodes():
        return _put(target_parts, value, {})
    owner_parts = _select_parts(
        parts, [*selectors[:-1], head] if head else selectors[:-1]
    )
    owner_nodes = owner_parts.nodes()
    # A name may be that of an argument and of a part: configure("act", nn.GELU) means
    # the argument if it accepts modules, and the part at any longer path.
    means_argument = _is_module_argument(owner_nodes, name)
    if is_module and not means_argument and target_parts.nodes():
        return _put(target_parts, value, {})
    if owner_nodes and all(has_argument(node.cls, name) for node in owner_nodes):
        return _argument_edits(owner_parts.target, {name: snapshot(value)})
    if target_parts.nodes():
        raise SettingError(
            name_or_index,
            f"expected a module class or a blueprint, found {value!r:.80}.",
        )
    if is_module:
        # A pattern may mean parts that come later; the draft raises if it means none.
        return _put(target_parts, value, {})
    if not owner_nodes:
        raise parts.draft.nothing_at(target_parts.target)
    raise _unknown(owner_nodes[0], name, owner_parts)


def _edits_by_name(
    parts: Parts, kwargs: Mapping[str, object], snapshot: Callable[[object], object]
) -> list[Edit]:
    """Return the edits for values by name: of arguments, or of children."""
    nodes = parts.nodes()
    arguments: dict[str, object] = {}
    swaps: list[Edit] = []
    for name, value in kwargs.items():
        is_argument = all(name in argument_names(node.cls) for node in nodes)
        if not is_argument and stands_for_module(value) and parts.select(name).nodes():
            swaps += _put(parts.select(name), value, {})
            continue
        unfit = next((node for node in nodes if not has_argument(node.cls, name)), None)
        if unfit is not None and name != var_keyword_of(unfit.cls):
            raise _unknown(unfit, name, parts)
        arguments[name] = snapshot(value)
    return [*_argument_edits(parts.target, arguments), *swaps]


def _is_module_argument(nodes: Sequence[ConstructionNode], name: str) -> bool:
    """Return whether all accept the argument ``name``, for modules or their classes."""
    if not nodes or not all(name in argument_names(node.cls) for node in nodes):
        return False
    values = [node.arguments.get(name) for node in nodes]
    return all(
        value is None or callable(value) or stands_for_module(value) for value in values
    )


def _unknown(node: ConstructionNode, name: str, parts: Parts) -> SettingError:
    names, child_names = settable_names(node.cls), parts.child_names(node.path)
    child_text = (
        f" Its parts are: {', '.join(child_names[:12])}." if child_names else ""
    )
    return SettingError(
        node.path,
        f"{node.cls.__qualname__} takes no argument {name!r}."
        f"{did_you_mean(name, [*names, *child_names])} "
        f"It takes: {taken_text(node.cls)}.{child_text}",
    )
