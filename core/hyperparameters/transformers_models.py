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
from ..state.loading import from_record
from .known_arguments import register_hparams
from .registry import known_classes

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
    return True


def config_of(model: Any, hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `config.json` that transformers reads, for ``model``."""
    config: dict[str, Any] = dict(hparams["config"])
    return config | {"architectures": [type(model).__name__]}


def model_in(
    content: "Content",
    cls: type[nn.Module] | None,
    *,
    strict: bool = True,
    allow_missing: Patterns | None = None,
    allow_unexpected: Patterns | None = None,
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


def _arguments(model: Any) -> dict[str, Any]:
    return {"config": _plain(model.config.to_dict())}


def _plain(value: Any) -> Any:
    """Return a configuration as JSON has it; dtypes are texts in it already."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # data
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # data
    return value


def _build(cls: Any, arguments: Mapping[str, Any]) -> nn.Module:
    model: nn.Module = cls(_config(cls, arguments["config"]))
    return model


def _config(cls: Any, config: Mapping[str, Any]) -> Any:
    own = getattr(cls, "config_class", None)
    if own is None:
        raise UnknownClassError("", f"{cls.__qualname__} says no config_class")
    known = {key: value for key, value in config.items() if not key.startswith("__")}
    return own.from_dict(known)


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
