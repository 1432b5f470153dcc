"""Sizes that a layer of torch can take from its input, if they are omitted."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from ...modules.classes import by_class
from .arguments import Arguments

SizeReader: TypeAlias = Callable[
    [tuple[Tensor, ...], Mapping[str, Any]], dict[str, Any]
]
"""Returns sizes, given the input tensors and the known arguments."""


def missing_sizes(
    cls: type[nn.Module], arguments: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the sizes that are None or omitted, and that an input determines."""
    names = _sizes_of(cls)
    return tuple(name for name in names if arguments.get(name) is None)


def placeholder_sizes(cls: type[nn.Module], arguments: Mapping[str, Any]) -> Arguments:
    """Return the smallest sizes with which ``cls`` can be constructed temporarily."""
    divisor = 1
    for name in ("groups", "num_groups"):
        if isinstance(arguments.get(name), int):
            divisor = max(arguments[name], 1)
    return dict.fromkeys(missing_sizes(cls, arguments), divisor)


def infer_sizes(
    cls: type[nn.Module], arguments: Mapping[str, Any], inputs: tuple[Tensor, ...]
) -> Arguments:
    """Return the sizes of ``cls`` missing in ``arguments``, from ``inputs``."""
    names = missing_sizes(cls, arguments)
    if not names:
        return {}
    reader = next(
        reader for base, (_, reader) in _SIZES.items() if issubclass(cls, base)
    )
    sizes = reader(inputs, arguments)
    return {name: sizes[name] for name in names}


@by_class
def _sizes_of(cls: type[nn.Module]) -> tuple[str, ...]:
    # The constructor of a user's class may take them from elsewhere, and a lazy layer
    # needs none: it waits for its first input itself.
    is_of_torch = cls.__init__.__module__.startswith("torch.nn")
    if not is_of_torch or issubclass(cls, LazyModuleMixin):
        return ()
    return next((names for b, (names, _) in _SIZES.items() if issubclass(cls, b)), ())


def _last_dimension(name: str) -> SizeReader:
    return lambda inputs, _: {name: inputs[0].shape[-1]}


def _channels(name: str, n_dims: int) -> SizeReader:
    return lambda inputs, _: {name: inputs[0].shape[-1 - n_dims]}


def _second_dimension(name: str) -> SizeReader:
    return lambda inputs, _: {name: inputs[0].shape[1]}


def _two_inputs(inputs: tuple[Tensor, ...], _: Mapping[str, Any]) -> dict[str, Any]:
    return {"in1_features": inputs[0].shape[-1], "in2_features": inputs[1].shape[-1]}


_SIZES: dict[type[nn.Module], tuple[tuple[str, ...], SizeReader]] = {
    nn.Linear: (("in_features",), _last_dimension("in_features")),
    nn.Bilinear: (("in1_features", "in2_features"), _two_inputs),
    nn.Conv1d: (("in_channels",), _channels("in_channels", 1)),
    nn.Conv2d: (("in_channels",), _channels("in_channels", 2)),
    nn.Conv3d: (("in_channels",), _channels("in_channels", 3)),
    nn.ConvTranspose1d: (("in_channels",), _channels("in_channels", 1)),
    nn.ConvTranspose2d: (("in_channels",), _channels("in_channels", 2)),
    nn.ConvTranspose3d: (("in_channels",), _channels("in_channels", 3)),
    nn.InstanceNorm1d: (("num_features",), _channels("num_features", 1)),
    nn.InstanceNorm2d: (("num_features",), _channels("num_features", 2)),
    nn.InstanceNorm3d: (("num_features",), _channels("num_features", 3)),
    nn.BatchNorm1d: (("num_features",), _second_dimension("num_features")),
    nn.BatchNorm2d: (("num_features",), _second_dimension("num_features")),
    nn.BatchNorm3d: (("num_features",), _second_dimension("num_features")),
    nn.SyncBatchNorm: (("num_features",), _second_dimension("num_features")),
    nn.GroupNorm: (("num_channels",), _second_dimension("num_channels")),
    nn.LayerNorm: (("normalized_shape",), _last_dimension("normalized_shape")),
    nn.RMSNorm: (("normalized_shape",), _last_dimension("normalized_shape")),
    nn.RNNBase: (("input_size",), _last_dimension("input_size")),
}
