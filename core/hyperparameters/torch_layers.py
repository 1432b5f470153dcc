# pyright: reportPrivateUsage=false
# The tables of nn.Module have no public names.
"""The constructor arguments of torch's layers, read back from their attributes.

Almost all keep each argument under its own name; the table has those that do not. Three
have no data that would rebuild them, and raise: a user's function as the activation of
a transformer layer or as the distance of a triplet loss, a ``TransformerEncoder`` or
``TransformerDecoder`` without layers. Arguments about the machine (devices, process
groups) are left out.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...config.short_text import with_article
from ...records.tensors.dtypes import can_require_grad
from ..modules.classes import by_class, declared_class, torch_classes
from ..modules.signature import VARIADIC, parameters_of


@dataclass(frozen=True, slots=True)
class Values:
    """Tensors that were arguments: a record has their values, this their shape."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    is_parameter: bool

    @classmethod
    def of(cls, tensor: Tensor) -> "Values":
        """Return the shape, dtype and kind of ``tensor``."""
        return cls(tuple(tensor.shape), tensor.dtype, isinstance(tensor, nn.Parameter))

    def make(self) -> Tensor:
        """Return a tensor of ones, which do not weight a loss."""
        ones = torch.ones(self.shape, dtype=self.dtype)
        learns = can_require_grad(ones)
        return nn.Parameter(ones, requires_grad=learns) if self.is_parameter else ones


@dataclass(frozen=True, slots=True)
class Template:
    """A module that the constructor copies."""

    module: nn.Module


def is_torch_layer(cls: type[nn.Module]) -> bool:
    """Return whether `layer_arguments` knows the arguments of ``cls``.

    A subclass without a constructor of its own takes those of its base.
    """
    base = _known_base(cls)
    return base is not None and cls.__init__ is base.__init__


def layer_arguments(module: nn.Module) -> dict[str, Any]:
    """Return the arguments that build a layer like ``module``, a layer of torch.

    Submodules and tensors among them are live ones, `Template` or `Values`. Raises
    NotImplementedError for a layer that was changed so that no arguments build it.
    """
    base = _known_base(type(module))
    getter = _GETTERS.get(base, _from_attributes) if base else _from_attributes
    try:
        arguments = getter(module)
    except AttributeError as error:
        # Parts of a layer may be replaced or deleted; torch would report an
        # AttributeError in a property as a missing property.
        raise _no_longer(module, str(error)) from error
    if "dtype" in parameters_of(type(module)):
        dtype = _dtype_of(module)
        arguments |= {} if dtype is torch.float32 else {"dtype": dtype}
    return arguments


@by_class
def _known_base(cls: type[nn.Module]) -> type[nn.Module] | None:
    layer_classes = torch_classes()
    base = next((base for base in cls.__mro__ if base in layer_classes), None)
    return base if base is not nn.Module or cls is nn.Module else None


_MACHINE = frozenset(
    {"device", "dtype", "process_group", "size_average", "reduce", "_weight", "_freeze"}
)
"""Arguments that are not a property of the layer, or follow from another one."""


def _from_attributes(module: nn.Module) -> dict[str, Any]:
    return {
        name: _attribute(module, name)
        for name, parameter in parameters_of(type(module)).items()
        if name not in _MACHINE and parameter.kind not in VARIADIC
    }


def _attribute(module: nn.Module, name: str) -> Any:
    value = getattr(module, name)
    if name == "bias" and not isinstance(value, bool):
        return value is not None
    return Values.of(value) if isinstance(value, Tensor) else value


def _dtype_of(module: nn.Module) -> torch.dtype:
    """Return the dtype of the parameters, or of the buffers if there are none."""
    tensors = [*module.parameters(), *module.buffers()]
    floating = (t.dtype for t in tensors if can_require_grad(t))
    return next(floating, torch.float32)


def _sequential(module: nn.Sequential) -> dict[str, Any]:
    children = OrderedDict(module._modules)
    is_numbered = list(children) == [str(i) for i in range(len(children))]
    return {"args": list(children.values()) if is_numbered else [children]}


def _module_list(module: nn.ModuleList) -> dict[str, Any]:
    return {"modules": list(module)}


def _module_dict(module: nn.ModuleDict) -> dict[str, Any]:
    return {"modules": dict(module.items())}


def _deprecated_container(module: nn.Module) -> dict[str, Any]:
    return {"kwargs": dict(module.named_children())}


def _parameter_list(module: nn.ParameterList) -> dict[str, Any]:
    return {"values": [_form_of(value) for value in module]}


def _parameter_dict(module: nn.ParameterDict) -> dict[str, Any]:
    return {"parameters": {name: _form_of(value) for name, value in module.items()}}


def _form_of(value: object) -> Any:
    return Values.of(value) if isinstance(value, Tensor) else value


def _attention(module: nn.MultiheadAttention) -> dict[str, Any]:
    biases: tuple[Any, Any] = (module.in_proj_bias, module.bias_k)
    has_bias, has_bias_kv = (bias is not None for bias in biases)
    names = ["embed_dim", "num_heads", "dropout", "add_zero_attn", "kdim", "vdim"]
    arguments = {name: getattr(module, name) for name in [*names, "batch_first"]}
    return arguments | {"bias": has_bias, "add_bias_kv": has_bias_kv}


def _rnn_cell_base(module: nn.RNNCellBase) -> dict[str, Any]:
    n_chunks = module.weight_hh.shape[0] // max(module.hidden_size, 1)
    arguments = {name: getattr(module, name) for name in ("input_size", "hidden_size")}
    return arguments | {"bias": bool(module.bias), "num_chunks": n_chunks}


def _hardtanh(module: nn.Hardtanh) -> dict[str, Any]:
    return {name: getattr(module, name) for name in ("min_val", "max_val", "inplace")}


def _pairwise_distance(module: nn.PairwiseDistance) -> dict[str, Any]:
    return {"p": module.norm, "eps": module.eps, "keepdim": module.keepdim}


def _adaptive_softmax(module: nn.AdaptiveLogSoftmaxWithLoss) -> dict[str, Any]:
    names = ("in_features", "n_classes", "div_value", "head_bias")
    arguments = {name: getattr(module, name) for name in names}
    return arguments | {"cutoffs": list(module.cutoffs[:-1])}


def _linear_cross_entropy(module: Any) -> dict[str, Any]:
    linear: Any = module.linear
    names = ("num_classes", "out_features", "reduction", "ignore_index")
    arguments = {name: getattr(module, name) for name in (*names, "label_smoothing")}
    weight = None if module.weight is None else Values.of(module.weight)
    arguments |= {"in_features": linear.in_features, "bias": linear.bias is not None}
    return arguments | {"weight": weight, "options": module.options}


def _no_longer(module: nn.Module, difference: str) -> NotImplementedError:
    name = type(module).__qualname__
    return NotImplementedError(
        f"this {name} was changed after it was built: {difference}. No arguments "
        f"of {name} give this module, so its hyperparameters are not known"
    )


def _transformer_layer(module: Any) -> dict[str, Any]:
    attention: nn.MultiheadAttention = module.self_attn
    arguments = {
        "d_model": attention.embed_dim,
        "nhead": attention.num_heads,
        "dim_feedforward": module.linear1.out_features,
        "dropout": module.dropout.p,
        "activation": _activation(module.activation),
        "layer_norm_eps": module.norm1.eps,
        "batch_first": attention.batch_first,
        "norm_first": module.norm_first,
        "bias": module.linear1.bias is not None,
    }
    for name, part in module.named_children():
        if name != "activation":
            _check_part(module, name, part, arguments)
    return arguments


def _check_part(
    layer: nn.Module, name: str, part: nn.Module, arguments: Mapping[str, Any]
) -> None:
    """Raise NotImplementedError if the constructor of ``layer`` builds another part."""
    for cls, attributes in _PARTS_OF_A_TRANSFORMER_LAYER.items():
        if declared_class(type(part)) is not cls:
            continue
        for attribute, argument in attributes.items():
            value, usual_value = getattr(part, attribute), arguments[argument]
            if value != usual_value:
                difference = f"{name}.{attribute} is {value!r}, not {usual_value!r}"
                raise _no_longer(layer, difference)
        return
    raise _no_longer(layer, f"its {name} is {with_article(type(part).__qualname__)}")


_PARTS_OF_A_TRANSFORMER_LAYER: dict[type[nn.Module], dict[str, str]] = {
    nn.Linear: {},
    nn.LayerNorm: {"eps": "layer_norm_eps"},
    nn.Dropout: {"p": "dropout"},
    nn.MultiheadAttention: {"num_heads": "nhead", "dropout": "dropout"},
}
"""Attributes of each class of parts that a single argument of the layer sets in all.

Sizes are not among them, since values of another shape would not fit.
"""


def _activation(activation: object) -> Any:
    if activation is functional.relu:
        return "relu"
    return "gelu" if activation is functional.gelu else activation


def _stack(name: str, *names: str) -> Callable[[Any], dict[str, Any]]:
    def getter(module: Any) -> dict[str, Any]:
        if not module.layers:
            raise NotImplementedError(
                f"{with_article(type(module).__qualname__)} without layers has "
                "no layer to take hyperparameters from; remove it, or keep one "
                "layer"
            )
        first_layer = module.layers[0]
        for i, layer in enumerate(module.layers):
            if not _are_alike(layer, first_layer):
                raise _no_longer(module, f"layers.{i} differs from layers.0")
        arguments = {n: getattr(module, n) for n in names}
        return {name: Template(first_layer), "norm": module.norm} | arguments

    return getter


def _are_alike(layer: nn.Module, model: nn.Module) -> bool:
    """Return whether ``layer`` may be a copy of ``model``, as the constructor makes.

    Modules among the arguments are copies as well, so that their repr is compared.
    """
    if declared_class(type(layer)) is not declared_class(type(model)):
        return False
    if layer is model or not is_torch_layer(type(layer)):
        return True
    arguments, model_arguments = layer_arguments(layer), layer_arguments(model)
    return all(repr(arguments[n]) == repr(model_arguments[n]) for n in arguments)


def _transformer(module: nn.Transformer) -> dict[str, Any]:
    arguments: dict[str, Any] = {"d_model": module.d_model, "nhead": module.nhead}
    arguments["batch_first"] = module.batch_first
    for side in ("encoder", "decoder"):
        stack = getattr(module, side)
        of_layers = _arguments_of_usual_layers(stack)
        if of_layers is None or any(
            name in arguments and repr(arguments[name]) != repr(value)
            for name, value in of_layers.items()
        ):
            arguments[f"custom_{side}"] = stack
            continue
        # Arguments of the first layer win: modules among them are those of its
        # sublayers.
        arguments = of_layers | arguments | {f"num_{side}_layers": stack.num_layers}
    return arguments


def _arguments_of_usual_layers(stack: nn.Module) -> dict[str, Any] | None:
    """Return the arguments of the layers in a stack that `nn.Transformer` builds."""
    usual: dict[type[nn.Module], type[nn.Module]] = {
        nn.TransformerEncoder: nn.TransformerEncoderLayer,
        nn.TransformerDecoder: nn.TransformerDecoderLayer,
    }
    layers: Any = getattr(stack, "layers", None)
    layer_class = usual.get(type(stack))
    if (
        layer_class is None
        or not layers
        or any(type(layer) is not layer_class for layer in layers)
        or not all(_are_alike(layer, layers[0]) for layer in layers)
    ):
        return None
    arguments = _transformer_layer(layers[0])
    # Torch sets relu as the function of each copied decoder layer, while an activation
    # module remains among its parts.
    part = layers[0]._modules.get("activation")
    arguments |= {} if part is None else {"activation": part}
    norm = getattr(stack, "norm", None)
    is_usual = type(norm) is nn.LayerNorm and norm.eps == arguments["layer_norm_eps"]
    return arguments if is_usual else None


_GETTERS: dict[type[nn.Module], Callable[[Any], dict[str, Any]]] = {
    nn.Sequential: _sequential,
    nn.ModuleList: _module_list,
    nn.ModuleDict: _module_dict,
    nn.ParameterList: _parameter_list,
    nn.ParameterDict: _parameter_dict,
    nn.MultiheadAttention: _attention,
    nn.RNNCellBase: _rnn_cell_base,
    nn.Hardtanh: _hardtanh,
    nn.PairwiseDistance: _pairwise_distance,
    nn.AdaptiveLogSoftmaxWithLoss: _adaptive_softmax,
    nn.TransformerEncoderLayer: _transformer_layer,
    nn.TransformerDecoderLayer: _transformer_layer,
    nn.TransformerEncoder: _stack(
        "encoder_layer", "num_layers", "enable_nested_tensor", "mask_check"
    ),
    nn.TransformerDecoder: _stack("decoder_layer", "num_layers"),
    nn.Transformer: _transformer,
}
_GETTERS_BY_NAME: dict[str, Callable[[Any], dict[str, Any]]] = {
    "Container": _deprecated_container,
    "LinearCrossEntropyLoss": _linear_cross_entropy,
}
"""Arguments that are deprecated, or newer than the oldest supported torch."""
_GETTERS.update(
    {getattr(nn, n): g for n, g in _GETTERS_BY_NAME.items() if hasattr(nn, n)}
)


def tuples(items: list[Any]) -> tuple[Any, ...]:
    """Return ``items`` with lists of numbers as tuples, as torch's layers take them."""
    return tuple(tuples(i) if isinstance(i, list) else i for i in items)  # pyright: ignore[reportUnknownArgumentType]  # data
