"""Arguments that a function computes from others, or from an example's tensors."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ....config.path import join, parts
from ....config.patterns import is_pattern


class Computed:
    """An argument of a blueprint that ``function`` computes from other arguments.

    ``paths`` name these: ``"width"``, ``"hidden.out_features"``. Each is looked up in
    the part itself, then in the part around it, and so on up to the whole, so that it
    finds neighbors wherever the part is. The function is called with their values, in
    that order, whenever one of them may have changed; it has to return the same for the
    same values. Without paths it gets the tensors that reach the part in
    ``build(example)``. Until the values are known, constructors are tried with
    ``placeholder``.
    """

    __slots__ = ("function", "paths", "placeholder")

    def __init__(
        self, function: Callable[..., Any], *paths: str, placeholder: Any = 1
    ) -> None:
        if not callable(function):
            raise TypeError(
                f"Computed: the first argument is {function!r:.60}, expected a "
                "function: Computed(lambda width: 4 * width, 'hidden.out_features')"
            )
        for path in paths:
            _check_path(path)
        self.function, self.paths, self.placeholder = function, paths, placeholder

    @property
    def is_of_example(self) -> bool:
        """Whether the function gets tensors, which only an example provides."""
        return not self.paths

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        name = name.rpartition("<locals>.")[2]
        sources = ", ".join(self.paths) or "its inputs"
        return f"Computed({name} of {sources})"


@dataclass(frozen=True, slots=True)
class ComputedValue:
    """The value of a `Computed` for one construction."""

    source: Computed
    value: Any
    problem: str = ""
    """Why ``value`` is a placeholder, if it is."""
    error: Exception | None = None
    """The error to raise once nothing changes any more, if the function raised."""


def computed_in(arguments: Mapping[str, Any]) -> dict[str, Computed]:
    """Return the computed values in ``arguments``, by name, or by path below one."""
    places: dict[str, Computed] = {}
    for name, value in arguments.items():
        # This runs for every construction, and nearly every argument is one of these.
        if value is not None and not isinstance(value, int | float | str | type):
            places.update(_inside(name, value))
    return places


def with_values(
    arguments: Mapping[str, Any], values: Mapping[str, ComputedValue]
) -> dict[str, Any]:
    """Return ``arguments`` with ``values`` in the places found by `computed_in`.

    All other values are the same objects.
    """
    filled = dict(arguments)
    for name in {place.partition(".")[0] for place in values}:
        filled[name] = _filled(name, arguments[name], values)
    return filled


def _inside(path: str, value: Any) -> Iterator[tuple[str, Computed]]:
    if isinstance(value, Computed):
        yield path, value
    elif type(value) in (list, tuple):
        for i, item in enumerate(value):
            yield from _inside(join(path, str(i)), item)
    elif type(value) is dict:
        for key, item in value.items():
            yield from _inside(join(path, str(key)), item)


def _filled(path: str, value: Any, values: Mapping[str, ComputedValue]) -> Any:
    if isinstance(value, Computed):
        return values[path].value
    if type(value) in (list, tuple):
        items = enumerate(value)
        return type(value)(_filled(join(path, str(i)), v, values) for i, v in items)
    if type(value) is dict:
        return {k: _filled(join(path, str(k)), v, values) for k, v in value.items()}
    return value


def _check_path(path: object) -> None:
    if not isinstance(path, str) or not path:
        raise TypeError(
            f"Computed: {path!r:.60} is not a path of an argument, expected one such "
            "as 'hidden.out_features'"
        )
    parts(path)
    if is_pattern(path):
        raise ValueError(
            f"Computed: {path!r} is a pattern, but each value comes from one place: "
            "name each path, and the function gets as many values"
        )
