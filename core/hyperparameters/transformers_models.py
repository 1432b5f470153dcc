"""Models of the transformers library: their configuration is what they are made of.

Loaded only where a program has loaded the library's models itself.
"""

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from torch import nn

from ...config.path import Patterns, as_patterns
from ...records.entry import Entry
from ...records.errors import RecordMismatchError
from ...records.open import open_record
from ..errors import UnknownClassError
from ..modules.registry import known_classes
from ..modules.signature import call, parameters_of
from ..state.loading import from_record
from .capture import arguments_of
from .known_arguments import library_bases, register_hparams

if TYPE_CHECKING:
    from ...records.flat import FlatRecord
    from ..pretrained.pretrained_folder import Content

_MODELS = "transformers.modeling_utils"


def register_models() -> bool:
    """Make models of transformers known, if the program uses them; return whether."""
    models = sys.modules.get(_MODELS)
    base: Any = getattr(models, "PreTrainedModel", None)
    if base is None:
        return False
    register_hparams(base, _arguments, build=_build, subclasses=True)
    library_bases.add(base)
    return True


def config_of(model: Any, hparams: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the `config.json` that transformers reads, for ``model``.

    None for a model that its configuration alone does not make again.
    """
    told = [
        value for name, value in hparams.items() if name in parameters_of(type(model))
    ]
    if len(told) != 1 or not _is_told_config(told[0]):
        return None
    return {**told[0], "architectures": [type(model).__name__]}


def model_in(
    content: "Content",
    cls: type[nn.Module] | None,
    *,
    strict: bool = True,
    allow_missing: Patterns | None = None,
    allow_unexpected: Patterns | None = None,
    allow_empty: bool = False,
    **reading: Any,
) -> nn.Module:
    """Return the model in a folder that transformers wrote, as it would: in eval mode.

    Floating values keep the dtype of the file unless ``reading`` says otherwise.
    """
    chosen: Any = cls or _class_of(content.config)
    config = _config(chosen, content.config)
    if reading.get("dtype") is None:
        reading["dtype"] = "stored"
    unexpected = [*as_patterns(allow_unexpected or ()), _ignored(chosen, "unexpected")]
    missing = [*as_patterns(allow_missing or ()), _ignored(chosen, "missing")]

    def filled(record: "FlatRecord") -> nn.Module:
        model: nn.Module = from_record(
            lambda: chosen(config),
            open_record(record, **reading),
            strict=strict,
            allow_missing=missing,
            allow_unexpected=unexpected,
            allow_empty=allow_empty,
        )
        return model.eval()

    try:
        return filled(content.record)
    except RecordMismatchError:
        renamed = _named_otherwise(chosen, content.record)
        if renamed is None:
            raise
        with suppress(RecordMismatchError):
            return filled(renamed)
        raise


def generation_of(model: nn.Module) -> str | None:
    """Return what transformers keeps beside `config.json` of how ``model`` generates.

    None for a model that does not generate.
    """
    generation: Any = getattr(model, "generation_config", None)
    write = getattr(generation, "to_json_string", None)
    if not hasattr(type(model), "config_class") or not callable(write):
        return None
    return str(write())


def set_generation(model: Any, stored: Mapping[str, Any]) -> None:
    """Let ``model`` generate as ``stored`` says, if it does generate."""
    if generation_of(model) is not None:
        model.generation_config = type(model.generation_config).from_dict(dict(stored))


def _arguments(model: Any) -> dict[str, Any]:
    """Return the configuration, and what else a decorated class was called with."""
    captured = arguments_of(model) or {"config": model.config}
    return {name: _told(value, model.config) for name, value in captured.items()}


def _told(value: Any, config: Any) -> Any:
    if not _is_config(value):
        return value
    # The model's own may have been changed since it was built.
    return _plain((config if type(value) is type(config) else value).to_dict())


def _is_config(value: Any) -> bool:
    return hasattr(value, "model_type") and callable(getattr(value, "to_dict", None))


def _plain(value: Any) -> Any:
    """Return a configuration as JSON has it; dtypes are texts in it already."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # data
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # data
    return value


def _build(cls: Any, arguments: Mapping[str, Any]) -> nn.Module:
    made = {
        name: _config(cls, value) if _is_told_config(value) else value
        for name, value in arguments.items()
    }
    return call(cls, made)


def _is_told_config(value: Any) -> bool:
    return isinstance(value, Mapping) and "model_type" in value


def _config(cls: Any, config: Mapping[str, Any]) -> Any:
    own = getattr(cls, "config_class", None)
    if own is None:
        raise UnknownClassError("", f"{cls.__qualname__} says no config_class")
    kind = config.get("model_type", own.model_type)
    if own.model_type != kind:
        own = _config_class(kind, own)
    known = {key: value for key, value in config.items() if not key.startswith("__")}
    return own.from_dict(known)


def _config_class(kind: Any, own: Any) -> Any:
    """Return the class of another model's configuration, of those that are loaded."""
    auto = sys.modules.get("transformers.models.auto.configuration_auto")
    mapping: Any = getattr(auto, "CONFIG_MAPPING", {})
    return mapping[kind] if isinstance(kind, str) and kind in mapping else own


def _class_of(config: Mapping[str, Any]) -> type[nn.Module]:
    named = config.get("architectures")
    names = [n for n in named if isinstance(n, str)] if isinstance(named, list) else []
    for cls in known_classes():
        if cls.__name__ in names and hasattr(cls, "config_class"):
            return cls
    name = names[0] if names else str(config.get("model_type", "a model"))
    raise UnknownClassError(
        "",
        f"the folder holds {name:.80}, which is not known here. Files import nothing: "
        f"import the class and call burnish.register_class({name:.80}), or pass it: "
        f"from_pretrained(folder, {name:.80}).",
    )


def _named_otherwise(cls: Any, record: "FlatRecord") -> "FlatRecord | None":
    """Return the record with the name of the base model before its paths, or without.

    A model with a head is filled from the file of a bare model, and the other way.
    """
    prefix = str(getattr(cls, "base_model_prefix", "") or "")
    paths = list(record.by_path())
    if not prefix or not paths:
        return None
    inside = {p: p[len(prefix) + 1 :] for p in paths if p.startswith(f"{prefix}.")}
    renames = inside or {path: f"{prefix}.{path}" for path in paths}
    return open_record(record, rename=renames)


def _ignored(cls: Any, kind: str) -> Callable[[Any], bool]:
    """Return what tells the entries that the class says may be ``kind``."""
    listed = getattr(cls, f"_keys_to_ignore_on_load_{kind}", None) or ()
    expressions = [re.compile(text) for text in listed]

    def is_ignored(item: Entry | str) -> bool:
        path = item if isinstance(item, str) else item.path
        return any(expression.search(path) for expression in expressions)

    return is_ignored
