"""Folders written by transformers, and the files it reads in ours.

This is loaded only if the program has loaded the library's models itself.
"""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...config.patterns import Patterns, as_patterns
from ...records.entries.entries import path_index
from ...records.entries.entry import Entry
from ...records.errors import RecordMismatchError
from ...records.open import open_record
from ..errors import UnknownClassError
from ..hyperparameters.transformers_models import config_object, is_config_dict
from ..modules.registry import known_classes
from ..modules.signature import parameters_of
from ..persistence.loading import from_record
from .pretrained_folder import FolderContent

if TYPE_CHECKING:
    from ...records.flat_record import FlatRecord


def config_of(model: Any, hparams: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the `config.json` that transformers reads, for ``model``.

    None for a model that its configuration alone does not rebuild.
    """
    configs = [
        value for name, value in hparams.items() if name in parameters_of(type(model))
    ]
    if len(configs) != 1 or not is_config_dict(configs[0]):
        return None
    return {**configs[0], "architectures": [type(model).__name__]}


def model_in(
    content: "FolderContent",
    cls: type[nn.Module] | None,
    *,
    strict: bool = True,
    allow_missing: Patterns | None = None,
    allow_unexpected: Patterns | None = None,
    allow_empty: bool = False,
    **reading: Any,
) -> nn.Module:
    """Return the model in a folder of transformers, in eval mode as it would be there.

    Floating values keep the dtype of the file unless ``reading`` requests another.
    """
    chosen: Any = cls or _class_of(content.config)
    config = config_object(chosen, content.config)
    if reading.get("dtype") is None:
        reading["dtype"] = "stored"
    dtype = reading["dtype"] if reading["dtype"] != "stored" else _dtype_of(config)
    unexpected = [*as_patterns(allow_unexpected or ()), _ignores(chosen, "unexpected")]
    missing = [*as_patterns(allow_missing or ()), _ignores(chosen, "missing")]

    def filled(record: "FlatRecord") -> nn.Module:
        def build() -> nn.Module:
            with _default_dtype(dtype):
                model: nn.Module = chosen(config)
                return model

        model: nn.Module = from_record(
            build,
            open_record(record, **reading),
            strict=strict,
            allow_missing=missing,
            allow_unexpected=unexpected,
            allow_empty=allow_empty,
        )
        return model.eval()

    try:
        return filled(content.record)
    except RecordMismatchError as error:
        renamed = _rename_base_model(chosen, content.record)
        with suppress(RecordMismatchError):
            if renamed is not None:
                return filled(renamed)
        error.add_cure(
            "for some models, tensors have different names or shapes in the files of "
            "transformers: "
            f"burnish.save_pretrained({chosen.__name__}.from_pretrained(folder), "
            "another_folder) writes a folder that both Burnish and transformers read."
        )
        raise


def generation_of(model: nn.Module) -> str | None:
    """Return the generation config of ``model``, which is beside `config.json`.

    None for a model that does not generate.
    """
    generation: Any = getattr(model, "generation_config", None)
    write = getattr(generation, "to_json_string", None)
    if not hasattr(type(model), "config_class") or not callable(write):
        return None
    return str(write())


def set_generation(model: Any, generation_config: Mapping[str, Any]) -> None:
    """Set ``generation_config`` on ``model``, if it does generate."""
    if generation_of(model) is not None:
        model.generation_config = type(model.generation_config).from_dict(
            dict(generation_config)
        )


def _dtype_of(config: Any) -> object:
    """Return the dtype of the saved model, in which transformers builds it."""
    return getattr(config, "dtype", None) or getattr(config, "torch_dtype", None)


@contextmanager
def _default_dtype(dtype: object) -> Generator[None]:
    """Make ``dtype`` the default of constructors, if torch allows it.

    Buffers that are in no file have this dtype, and a layer that multiplies them with
    weights of another raises an error.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype if dtype in _DEFAULT_DTYPES else before)  # pyright: ignore[reportArgumentType]  # it is one of these
    try:
        yield
    finally:
        torch.set_default_dtype(before)


_DEFAULT_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def _class_of(config: Mapping[str, object]) -> type[nn.Module]:
    architectures = config.get("architectures")
    names = (
        [n for n in architectures if isinstance(n, str)]
        if isinstance(architectures, list)
        else []
    )
    for cls in known_classes():
        if cls.__name__ in names and hasattr(cls, "config_class"):
            return cls
    name = names[0] if names else str(config.get("model_type", "a model"))
    raise UnknownClassError(
        "",
        f"the folder holds {name:.80}, which is not known here. Loading a file "
        "imports nothing: import the class and call "
        f"burnish.register_class({name:.80}), or pass it: from_pretrained(folder, "
        f"{name:.80}).",
    )


def _rename_base_model(cls: object, record: "FlatRecord") -> "FlatRecord | None":
    """Return the record with the base model's name added to its paths, or removed.

    A model with a head can be filled from the file of a bare model, and the reverse.
    """
    prefix = str(getattr(cls, "base_model_prefix", "") or "")
    paths = list(path_index(record))
    if not prefix or not paths:
        return None
    inside = {p: p[len(prefix) + 1 :] for p in paths if p.startswith(f"{prefix}.")}
    renames = inside or {path: f"{prefix}.{path}" for path in paths}
    return open_record(record, rename=renames)


def _ignores(cls: object, kind: str) -> Callable[[Any], bool]:
    """Return a test for entries that the class allows to be ``kind``."""
    listed = getattr(cls, f"_keys_to_ignore_on_load_{kind}", None) or ()
    expressions = [re.compile(text) for text in listed]

    def is_ignored(item: Entry | str) -> bool:
        path = item if isinstance(item, str) else item.path
        return any(expression.search(path) for expression in expressions)

    return is_ignored
