"""Models of the transformers library, whose argument is their configuration.

This is loaded only if the program has loaded the library's models itself.
"""

import math
import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

from ..errors import UnknownClassError
from ..modules.signature import call
from .capture import captured_arguments, library_bases, register_hparams

_MODELS = "transformers.modeling_utils"


def register_models() -> bool:
    """Register models of transformers if the program uses them; return whether."""
    models = sys.modules.get(_MODELS)
    base: Any = getattr(models, "PreTrainedModel", None)
    if base is None:
        return False
    register_hparams(base, _arguments, build=_build, subclasses=True)
    library_bases.add(base)
    return True


def _arguments(model: Any) -> dict[str, Any]:
    """Return the configuration, and the other arguments of a decorated class."""
    captured = captured_arguments(model) or {"config": model.config}
    return {
        name: _plain_argument(value, model.config) for name, value in captured.items()
    }


def _plain_argument(value: Any, config: Any) -> Any:
    if not _is_config(value):
        return value
    # The model's own one may have been changed since it was built.
    return _plain_config((config if type(value) is type(config) else value).to_dict())


def _is_config(value: object) -> bool:
    return hasattr(value, "model_type") and callable(getattr(value, "to_dict", None))


def _plain_config(value: object) -> Any:
    """Return a configuration as JSON data, in which dtypes are strings already."""
    if isinstance(value, Mapping):
        return {str(key): _plain_config(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # data
    if isinstance(value, list | tuple):
        return [_plain_config(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # data
    return value


def _build(cls: Any, arguments: Mapping[str, Any]) -> nn.Module:
    built_arguments = {
        name: config_object(cls, value) if is_config_dict(value) else value
        for name, value in arguments.items()
    }
    return call(cls, built_arguments)


def is_config_dict(value: object) -> bool:
    """Return whether ``value`` is a configuration as in `config.json`."""
    return isinstance(value, Mapping) and "model_type" in value


def config_object(cls: Any, config: Mapping[str, Any]) -> Any:
    """Return the configuration in ``config``, as an object that ``cls`` accepts."""
    config_class = getattr(cls, "config_class", None)
    if config_class is None:
        names = config.get("architectures") or ["Net"]
        raise UnknownClassError(
            "",
            f"{cls.__qualname__} has no config_class. Pass the class of the model "
            f"itself: from_pretrained(folder, {names[0]})",
        )
    kind = config.get("model_type", config_class.model_type)
    if config_class.model_type != kind:
        config_class = _config_class(kind, config_class)
    fields = {key: value for key, value in config.items() if not key.startswith("__")}
    return config_class.from_dict(_with_floats(fields))


_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
"""Values that transformers writes as ``{"__float__": name}``, since JSON has none."""


def _with_floats(value: object) -> Any:
    """Return ``value``, data of a `config.json`, with infinities and NaN as floats."""
    if isinstance(value, list):
        return [_with_floats(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # data
    if not isinstance(value, Mapping):
        return value
    fields: dict[str, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]  # data
    if list(fields) == ["__float__"] and fields["__float__"] in _FLOATS:
        return _FLOATS[fields["__float__"]]
    return {key: _with_floats(item) for key, item in fields.items()}


def _config_class(kind: object, default_class: object) -> Any:
    """Return the configuration class of a nested model, among the loaded ones."""
    auto = sys.modules.get("transformers.models.auto.configuration_auto")
    mapping: Any = getattr(auto, "CONFIG_MAPPING", {})
    return mapping[kind] if isinstance(kind, str) and kind in mapping else default_class
