"""A tensor that wraps others, as libraries of quantization have them."""

import dataclasses
import enum
from typing import Any

import torch


class Rounding(enum.Enum):
    NEAREST = 1
    DOWN = 2


@dataclasses.dataclass(frozen=True)
class Scheme:
    bits: int = 8
    rounding: Rounding = Rounding.NEAREST
    axes: tuple[int, ...] = (0, 1)


class Int8(torch.Tensor):
    """Rows of int8 with a scale each, as libraries of quantization have them."""

    data_: torch.Tensor
    scale: torch.Tensor
    scheme: Any

    @staticmethod
    def __new__(  # as torch has them
        cls: Any,
        data_: torch.Tensor,
        scale: torch.Tensor,
        scheme: Any,
        dtype: torch.dtype,
    ) -> Any:
        if data_.dtype is not torch.int8 or scale.shape != (data_.shape[0], 1):
            raise ValueError("rows of int8 have a scale each")
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, data_.shape, dtype=dtype, device=data_.device
        )

    def __init__(
        self, data_: torch.Tensor, scale: torch.Tensor, scheme: Any, dtype: torch.dtype
    ) -> None:
        self.data_, self.scale, self.scheme = data_, scale, scheme

    @classmethod
    def of(cls, values: torch.Tensor, scheme: Any = Scheme()) -> "Int8":
        scale = values.abs().amax(1, keepdim=True) / 127
        data_ = (values / scale).round().to(torch.int8)
        return cls(data_, scale.float(), scheme, values.dtype)

    def dequantized(self) -> torch.Tensor:
        return (self.data_ * self.scale).to(self.dtype)

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        return ["data_", "scale"], {"scheme": self.scheme, "dtype": self.dtype}

    @classmethod
    def __tensor_unflatten__(
        cls, inner: Any, context: Any, size: Any, stride: Any
    ) -> "Int8":
        return cls(inner["data_"], inner["scale"], context["scheme"], context["dtype"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch declares another
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        aten = torch.ops.aten
        if function in (aten.detach.default, aten.alias.default):
            a = args[0]
            return cls(a.data_, a.scale, a.scheme, a.dtype)
        plain = [a.dequantized() if isinstance(a, Int8) else a for a in args]
        return function(*plain, **(kwargs or {}))


def configs_of_torchao(quantization: Any) -> tuple[Any, ...]:
    """Return how weights are quantized in tests with torchao."""
    return (
        quantization.Int8WeightOnlyConfig(),
        quantization.Int8DynamicActivationInt8WeightConfig(),
        quantization.IntxWeightOnlyConfig(weight_dtype=vars(torch)["int4"]),
    )
