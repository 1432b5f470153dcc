"""Field names reserved by pydantic or by mappings, stored under safe aliases."""

from typing import TYPE_CHECKING, Any, dataclass_transform

from pydantic import BaseModel, Field
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import ModelPrivateAttr

from ..short_text import with_article
from .annotations import annotate, annotations_in, is_class_variable
from .field_types import n_registered
from .hparam import Hparam
from .known_classes import holds_field_types, unknown_class
from .pydantic_internals import is_complete, metaclass_of_models

if TYPE_CHECKING:
    from .pydantic_internals import ModelMetaclass
else:
    ModelMetaclass = metaclass_of_models()


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, Hparam))
class HparamsMeta(ModelMetaclass):
    """Allows fields of any name: ``keys``, ``model_config``, ``_weight``.

    Such a field is stored as ``keys_``; files, ``h["keys"]`` and ``H(keys=...)`` use
    its own name, and ``h.keys`` remains the method.
    """

    def __new__(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, object],
        **options: Any,
    ) -> type:
        """Create the class after renaming its reserved annotations."""
        hints = annotations_in(namespace)
        base = next((b for b in bases if isinstance(b, HparamsMeta)), None)
        if base is not None:
            reserved = _reserved(base)
            safe = {
                n: _safe(n, hints)
                for n in hints
                if _clashes(n, hints, namespace, reserved)
            }
            if safe:
                _rename(namespace, hints, safe, _names_of(bases))
        if n_registered() and any(map(holds_field_types, hints.values())):
            return mcs._with_field_types(name, bases, namespace, **options)
        try:
            return super().__new__(mcs, name, bases, namespace, **options)
        except PydanticSchemaGenerationError as error:
            unknown = next(filter(None, map(unknown_class, hints.values())), None)
            if unknown is None:
                raise
            # Pydantic suggests arbitrary_types_allowed, with which no file could be
            # written.
            raise _unknown_class_error(name, unknown) from error

    def __setattr__(cls, name: str, value: Any) -> None:
        """Set a class attribute. TypeError for one that ``@dataclass`` sets."""
        if name == "__dataclass_fields__":
            # The constructor of a dataclass would require every field, defaults or not.
            raise TypeError(
                f"{cls.__qualname__} is an Hparams, which already has a constructor: "
                "remove @dataclass, or do not derive from Hparams"
            )
        super().__setattr__(name, value)

    @classmethod
    def _with_field_types(
        mcs,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        **options: Any,
    ) -> type:
        """Return a class whose fields may have registered classes as their types."""
        # Pydantic then accepts any class, so unregistered ones are refused here.
        config = {"arbitrary_types_allowed": True}
        namespace["model_config"] = config | namespace.get("model_config", {})
        cls = super().__new__(mcs, name, bases, namespace, **options)
        unknown = unknown_class(cls) if is_complete(cls) else None
        if unknown is not None:
            raise _unknown_class_error(name, unknown)
        return cls


def _unknown_class_error(name: str, unknown: type) -> PydanticSchemaGenerationError:
    return PydanticSchemaGenerationError(
        f"{name}: there is no rule for storing {with_article(unknown.__qualname__)} in "
        "a file; add one with burnish.config.register_field_type, or derive the class "
        "from burnish.config.Serializable"
    )


def _rename(
    namespace: dict[str, Any],
    hints: dict[str, object],
    safe: dict[str, str],
    inherited: dict[str, str],
) -> None:
    """Replace the reserved names by safe ones, and make them aliases."""
    annotate(namespace, {safe.get(n, n): h for n, h in hints.items()})
    for name, safe_name in safe.items():
        if name in namespace:
            namespace[safe_name] = namespace.pop(name)
    names = inherited | {safe_name: name for name, safe_name in safe.items()}
    config = {"alias_generator": lambda attribute: names.get(attribute, attribute)}
    namespace["model_config"] = namespace.get("model_config", {}) | config
    namespace["__names__"] = names


def _names_of(bases: tuple[type, ...]) -> dict[str, str]:
    """Return the reserved names of the fields of the bases, by safe name."""
    names: dict[str, str] = {}
    for base in bases:
        names |= getattr(base, "__names__", {})
    return names


def _reserved(base: type) -> frozenset[str]:
    """Return the names that every hyperparameter class already has."""
    root = next(c for c in reversed(base.__mro__) if isinstance(c, HparamsMeta))
    return (
        frozenset(dir(root)) | frozenset(dir(HparamsMeta)) | frozenset(dir(BaseModel))
    )


def _clashes(
    name: str,
    hints: dict[str, object],
    namespace: dict[str, object],
    reserved: frozenset[str],
) -> bool:
    value, is_constant = namespace.get(name), is_class_variable(hints[name])
    if is_constant or isinstance(value, ModelPrivateAttr) or name.startswith("__"):
        return False
    return name in reserved or name.startswith("_")


def _safe(name: str, hints: dict[str, object]) -> str:
    safe = f"{name.lstrip('_') or 'field'}_"
    while safe in hints or safe[0].isdigit():
        safe = f"field_{safe}"
    return safe
