"""Values of computed arguments in a tree of constructions, or why they are unknown."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from ....config.path import join, parts
from ....config.process.interrupts import raise_of_signal
from ....config.short_text import short_repr
from ....config.spelling import nearest
from ...modules.signature import VARIADIC, parameters_of
from ..edits.computed import Computed, ComputedValue
from ..edits.edits import Unbuilt, definition_of
from ..errors import BlueprintError, SettingError
from .arguments import Arguments, argument_names, check_type
from .construction_node import ConstructionNode, OpaqueValue

_MAX_ALTERED = 16
"""Maximal number of functions for which another value is tried, each in its own run."""


def has_computed(root: ConstructionNode) -> bool:
    """Return whether an argument of any construction in the tree is computed."""
    return any(node.computed for node in root.walk())


def assign_computed(root: ConstructionNode) -> str | None:
    """Set each computed argument to the value that follows from the tree.

    Returns the path of one whose value has changed, None if none has. Raises
    `SettingError` for values that are computed from each other.
    """
    tree_values, changed_place = _TreeValues(root), None
    for node in [node for node in root.walk() if node.computed]:
        before, node.computed = node.computed, tree_values.of(node)
        for name, computed in node.computed.items():
            if not is_same_value(before[name].value, computed.value):
                changed_place = changed_place or join(node.path, name)
    return changed_place


def check_computed(root: ConstructionNode, *, is_whole: bool) -> None:
    """Raise if a function raised, or if the whole lacks an argument it needs.

    A part may be inside another one, which has the values that it lacks on its own.
    """
    for node in root.walk():
        for name, computed in node.computed.items():
            if computed.error is not None:
                raise computed.error
            if is_whole and computed.problem and not computed.source.is_of_example:
                message = f"{computed.source}: {computed.problem}"
                raise SettingError(join(node.path, name), message)


def inferred_values(node: ConstructionNode, tensors: tuple[object, ...]) -> Arguments:
    """Return the arguments of ``node`` that are computed from its inputs.

    Raises `SettingError` for a function that raises.
    """
    return {
        name: _called(node, name, computed.source, list(tensors))
        for name, computed in node.computed.items()
        if computed.source.is_of_example
    }


def altered_trees(
    root: ConstructionNode,
) -> Iterator[tuple[ConstructionNode, set[tuple[str, str]]]]:
    """Yield copies of the tree in which the values of one function are changed.

    With each come the path and the name of everything that was changed.
    """
    groups: dict[object, set[tuple[str, str]]] = {}
    for node in root.walk():
        for name, computed in node.computed.items():
            if node.paths and not computed.problem and _alternative(computed.value):
                source = computed.source
                # A constructor that runs again creates the same function again.
                code = getattr(source.function, "__code__", source.function)
                groups.setdefault((code, source.paths, name), set()).add(
                    (node.path, name)
                )
    for places in islice(groups.values(), _MAX_ALTERED):
        tree = root.copy()
        for node in tree.walk():
            node.computed = {
                name: replace(computed, value=_alternative(computed.value))
                if (node.path, name) in places
                else computed
                for name, computed in node.computed.items()
            }
        yield tree, places


def first_computed_difference(
    tree: ConstructionNode,
    other_tree: ConstructionNode,
    places: Iterable[tuple[str, str]],
) -> str | None:
    """Return which of ``places`` have different values in the two trees, or None."""
    nodes, other_nodes = (
        {node.path: node for node in root.walk() if node.paths}
        for root in (tree, other_tree)
    )
    for path, name in sorted(places):
        other_node = other_nodes.get(path)
        earlier = None if other_node is None else other_node.computed.get(name)
        if earlier is None or earlier.problem:
            continue
        if not is_same_value(nodes[path].computed[name].value, earlier.value):
            return join(path, name)
    return None


def _alternative(value: object) -> Any:
    """Return a number other than ``value`` that may be valid, None if there is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return 2 * value if value else None


def is_same_value(a: object, b: object) -> bool:
    """Return whether two computed values are equal, where 1 is neither 1.0 nor True."""
    return type(a) is type(b) and repr(a) == repr(b)


class _UnknownValueError(Exception):
    """A value that the tree does not have, or not yet."""


class _TreeValues:
    """Looks up arguments in a tree as a part sees it, from the inside out."""

    def __init__(self, root: ConstructionNode) -> None:
        self._nodes_by_path = {p: node for node in root.walk() for p in node.paths}

    def of(self, node: ConstructionNode) -> dict[str, ComputedValue]:
        """Return the values of the computed arguments of ``node``."""
        return {name: self._value(node, name, ()) for name in node.computed}

    def _value(
        self, node: ConstructionNode, name: str, readers: tuple[str, ...]
    ) -> ComputedValue:
        source, place = node.computed[name].source, join(node.path, name)
        if place in readers:
            raise _circle(readers[readers.index(place) :])
        unknown = ComputedValue(source, source.placeholder, "only an example shows it")
        if source.is_of_example:
            return unknown
        try:
            values = [
                self._read(node, name, path, (*readers, place)) for path in source.paths
            ]
            return ComputedValue(source, _called(node, name, source, values))
        except _UnknownValueError as error:
            return replace(unknown, problem=str(error))
        except BlueprintError as error:
            if readers or not isinstance(error.__cause__, Exception):
                raise
            # Intermediate values of a run may be invalid for the function.
            return replace(unknown, problem=error.message, error=error)

    def _read(
        self, node: ConstructionNode, name: str, path: str, readers: tuple[str, ...]
    ) -> Any:
        argument = name.partition(".")[0]
        owner_path, _, owner_argument = join(*parts(path)).rpartition(".")
        for scope in _scopes(node.path):
            owner = self._nodes_by_path.get(join(scope, owner_path))
            # An argument that is computed from its own name refers to that of an outer
            # part.
            if owner is None or (owner is node and owner_argument == argument):
                continue
            if owner_argument in owner.computed:
                computed = self._value(owner, owner_argument, readers)
                if computed.problem:
                    where = join(owner.path, owner_argument)
                    raise _UnknownValueError(f"{where}: {computed.problem}")
                return computed.value
            values = known_arguments_of(owner)
            if owner_argument in values:
                return _checked_value(
                    values[owner_argument], join(owner.path, owner_argument)
                )
        raise _UnknownValueError(self._nothing_called(path))

    def _nothing_called(self, path: str) -> str:
        names = (
            join(node_path, name)
            for node_path, node in self._nodes_by_path.items()
            for name in argument_names(node.cls)
        )
        nearest_name = nearest(path, list(names))
        hint = f" Did you mean {nearest_name!r}?" if nearest_name else ""
        return (
            f"there is no argument {path!r} in this part, nor in the parts that hold "
            f"it.{hint}"
        )


def known_arguments_of(node: ConstructionNode) -> Arguments:
    """Return the arguments of ``node`` by name, with defaults and those of ``**``.

    Sizes that an example determines are `OpaqueValue`.
    """
    parameters = parameters_of(node.cls)
    values: Arguments = {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.default is not parameter.empty
    }
    for name, value in node.arguments.items():
        if name in parameters and parameters[name].kind in VARIADIC:
            values |= value if isinstance(value, Mapping) else {name: value}
        else:
            values[name] = value
    left_out = OpaqueValue("left to the example")
    return values | dict.fromkeys(node.missing_sizes, left_out)


def _checked_value(value: object, place: str) -> object:
    if isinstance(value, Unbuilt):
        names = argument_names(definition_of(value).cls)
        example = join(place, names[0]) if names else "width"
        raise _UnknownValueError(
            f"{place} is a part: name one of its arguments, such as {example!r}"
        )
    if isinstance(value, OpaqueValue):
        raise _UnknownValueError(
            f"{place} is {value}, from which nothing can be computed"
        )
    return value


def _called(
    node: ConstructionNode, name: str, source: Computed, values: list[object]
) -> Any:
    try:
        value = source.function(*values)
    except Exception as error:  # a user's function may raise anything
        raise_of_signal(error)
        sources = source.paths or tuple(f"input {i}" for i in range(len(values)))
        pairs = zip(sources, values, strict=False)
        inputs = ", ".join(f"{path} = {_short(value)}" for path, value in pairs)
        reason = f"{type(error).__name__}: {error}"
        message = f"{source} raised {reason} ({inputs})"
        raise SettingError(join(node.path, name), message) from error
    if name in node.computed and "." not in name:
        check_type(node.cls, name, value, node.path)
    return value


def _short(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return short_repr(value, 40) if shape is None else f"a tensor of {tuple(shape)}"


def _scopes(path: str) -> Iterator[str]:
    """Yield ``path`` and the paths of the parts around it, the whole last."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _circle(places: tuple[str, ...]) -> SettingError:
    chain = " from ".join([*places, places[0]])
    return SettingError(
        places[0],
        f"these values are computed from each other: {chain}. Set one of them to a "
        "number.",
    )
