"""Values checked by pydantic, and its errors in our words."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..classes.fields import fields_of, is_model
from ..classes.pydantic_internals import validator_of_model
from ..errors import ConfigError, Problem
from ..path import child
from ..short_text import short_repr
from ..tree import is_dict, is_items

if TYPE_CHECKING:
    from pydantic import ValidationError


def check(annotation: object, tree: object, problems: Sequence[Problem] = ()) -> object:
    """Return what pydantic makes of ``tree``.

    Raises ConfigError with the ``problems`` found so far and pydantic's own.
    """
    from pydantic import ValidationError

    try:
        value = validator_of(annotation).validate_python(tree)
    except ValidationError as error:
        known_paths = {problem.path for problem in problems}
        more_problems = [p for p in _problems(tree, error) if p.path not in known_paths]
        raise ConfigError("", [*problems, *more_problems]) from None
    if problems:
        raise ConfigError("", problems)
    return value


@cache
def validator_of(annotation: Any) -> Any:
    """Return what validates values of ``annotation``.

    Raises TypeError for a type that no configuration can have.
    """
    from pydantic import PydanticUserError, TypeAdapter

    try:
        if is_model(annotation):
            fields_of(annotation)
            return validator_of_model(annotation)
        return TypeAdapter(annotation)
    except (PydanticUserError, RecursionError) as unsupported:
        name = getattr(annotation, "__qualname__", str(annotation))
        reason = str(unsupported).split("\n", 1)[0]
        if isinstance(unsupported, RecursionError):
            reason = "a type within itself needs a name, by typing.TypeAliasType"
        raise TypeError(f"{name} cannot be a configuration: {reason}") from unsupported


def _problems(tree: object, validation_error: "ValidationError") -> list[Problem]:
    """Return pydantic's errors, those of one place (a union's) as one."""
    messages_by_path: dict[str, list[str]] = {}
    kinds: dict[str, set[str]] = {}
    for error in validation_error.errors(include_url=False, include_context=False):
        path = _path(tree, error["loc"], error["type"])
        message = _message(error)
        kinds.setdefault(path, set()).add(error["type"])
        if message not in messages_by_path.setdefault(path, []):
            messages_by_path[path].append(message)
    return [
        Problem(path, "; or ".join(messages), min(kinds[path], default=""))
        if len(kinds[path]) == 1
        else Problem(path, "; or ".join(messages))
        for path, messages in messages_by_path.items()
    ]


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "missing":
        return "missing value"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{message}, found {short_repr(error['input'])}"


def _path(tree: object, loc: Sequence[str | int], kind: str) -> str:
    """Return the path of an error, without pydantic's names for a union's members."""
    path = ""
    for i, step in enumerate(loc):
        is_last = i == len(loc) - 1
        if is_dict(tree) and step in tree:
            tree = tree[step]
        elif is_items(tree) and isinstance(step, int):
            tree = tree[step] if step < len(tree) else None
        elif not (is_last and kind == "missing"):
            # Pydantic puts names of types between ours: those of a union's members.
            continue
        path = child(path, step)
    return path
