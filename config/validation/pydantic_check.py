"""Validation by pydantic, with its errors in our words."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..classes.declared_types import members
from ..classes.field_types import n_registered
from ..classes.fields import fields_of, is_model
from ..classes.known_classes import unknown_class
from ..classes.pydantic_internals import validator_of_model
from ..classes.remembered import remembered
from ..errors import ConfigError, Problem
from ..path import child
from ..short_text import short_repr
from ..spelling import did_you_mean
from ..tree import is_dict, is_items

if TYPE_CHECKING:
    from pydantic import ValidationError


_UNKNOWN_CLASS = (
    "Register your own class with burnish.config.register_field_type, or derive it "
    "from burnish.config.Serializable; a state with modules is read by "
    "burnish.train.load_state or HyperState"
)


def check(annotation: object, tree: object, problems: Sequence[Problem] = ()) -> object:
    """Return the object that pydantic creates from ``tree``.

    Raises ConfigError with the ``problems`` found earlier and pydantic's own.
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


def validator_of(annotation: object) -> Any:
    """Return the validator for ``annotation``.

    Raises TypeError for a type that no configuration can have.
    """
    # A | B equals B | A, and of classes that fit equally well pydantic takes the first.
    return _validator_of(annotation, members(annotation), n_registered())


@remembered
def _validator_of(
    annotation: Any, kinds: tuple[object, ...], n_field_types: int
) -> Any:
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        if is_model(annotation):
            fields_of(annotation)
            return validator_of_model(annotation)
        try:
            return TypeAdapter(annotation)
        except PydanticSchemaGenerationError:
            if unknown_class(annotation) is not None:
                raise
            return _with_field_types(annotation)
    except (PydanticUserError, RecursionError) as unsupported:
        name = getattr(annotation, "__qualname__", str(annotation))
        reason = str(unsupported).split("\n", 1)[0]
        if isinstance(unsupported, RecursionError):
            reason = "a recursive type needs a name, from typing.TypeAliasType"
        elif isinstance(unsupported, PydanticSchemaGenerationError):
            reason = f"{reason.split('. ')[0].removesuffix('.')}. {_UNKNOWN_CLASS}"
        raise TypeError(f"{name} cannot be a configuration: {reason}") from unsupported


def _with_field_types(annotation: object) -> Any:
    """Return the validator for ``annotation``, which accepts registered classes.

    Their objects were created before pydantic sees them, and it does not know the
    classes.
    """
    from pydantic import ConfigDict, TypeAdapter
    from typing_extensions import TypeAliasType

    # It has a model of its own, since a dataclass must not be given a configuration.
    alias: Any = TypeAliasType("named", annotation)  # pyright: ignore[reportGeneralTypeIssues]  # of no use as a type
    return TypeAdapter(alias, config=ConfigDict(arbitrary_types_allowed=True))


def _problems(tree: object, validation_error: "ValidationError") -> list[Problem]:
    """Return pydantic's errors, with those of one location (a union's) merged."""
    messages_by_path: dict[str, list[str]] = {}
    kinds: dict[str, set[str]] = {}
    class_names: dict[str, list[str]] = {}
    for error in validation_error.errors(include_url=False, include_context=False):
        path = _path(tree, error["loc"], error["type"])
        kinds.setdefault(path, set()).add(error["type"])
        if error["type"] in _NO_FIELDS and isinstance(error["input"], str):
            # Each class of a union reports the same about the word.
            class_names.setdefault(path, []).append(error["msg"].rpartition(" ")[2])
            message = _no_class(error["input"], class_names[path])
            messages_by_path.setdefault(path, [""])[0] = message
            continue
        message = _message(error)
        if message not in messages_by_path.setdefault(path, []):
            messages_by_path[path].append(message)
    return [
        Problem(path, "; or ".join(messages), min(kinds[path], default=""))
        if len(kinds[path]) == 1
        else Problem(path, "; or ".join(messages))
        for path, messages in messages_by_path.items()
    ]


_NO_FIELDS = ("model_type", "dataclass_type")
"""Pydantic's error type for a value without fields; its text names the class."""


def _no_class(word: str, names: Sequence[str]) -> str:
    """State that a word in the place of a class names none of these.

    A string is not a name: RON writes names without quotes, and JSON and YAML have
    none.
    """
    classes = " or ".join(dict.fromkeys(names))
    if word in names:
        return (
            f"found the string {short_repr(word)}, expected the fields of {classes}. "
            "In RON and overrides, write the name of a class without quotes"
        )
    message = f"found {short_repr(word)}, expected {classes} (its name or its fields)"
    by_case = {name.casefold(): name for name in names}
    hint = did_you_mean(by_case.get(word.casefold(), word), names)
    return f"{message}.{hint}" if hint else message


def _message(error: Mapping[str, object]) -> str:
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
            # Pydantic inserts names of types, those of a union's members, between the
            # fields.
            continue
        path = child(path, step)
    return path
