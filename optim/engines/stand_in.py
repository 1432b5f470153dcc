"""StandIn: what a step sees in place of a tensor while it is recorded.

It knows what a tensor is asked without its values; operations.py adds what is computed.
"""

from typing import Any

import torch

from .recording import NotElementwise, Recording


class StandIn:
    """What a step sees in place of a tensor; every operation on it is written down."""

    __slots__ = ("dtype", "id", "tape")
    tape: Recording
    id: int
    dtype: torch.dtype

    __class__ = property(lambda self: torch.Tensor)  # pyright: ignore[reportIncompatibleMethodOverride]  # isinstance(x, Tensor) must hold
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, tape: Recording, number: int, dtype: torch.dtype) -> None:
        self.tape = tape
        self.id = number
        self.dtype = dtype

    @property
    def shape(self) -> torch.Size:
        """Its use is noted: numbers may depend on it."""
        self.tape.reads_shape = True
        return self.tape.like.shape

    @property
    def ndim(self) -> int:
        """Its use is noted: numbers may depend on it."""
        self.tape.reads_shape = True
        return self.tape.like.ndim

    @property
    def device(self) -> torch.device:
        """The device of the tensors that it stands for."""
        return self.tape.like.device

    requires_grad = property(lambda self: False)
    is_sparse = property(lambda self: False)
    layout = property(lambda self: torch.strided)
    grad = property(lambda self: None)
    data = property(lambda self: self)

    def size(self, dim: int | None = None) -> Any:
        """Stand in for `Tensor.size`."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Stand in for `Tensor.numel`."""
        self.tape.reads_shape = True
        return self.tape.like.numel()

    nelement = numel

    def dim(self) -> int:
        """Stand in for `Tensor.dim`."""
        return self.ndim

    def is_floating_point(self) -> bool:
        """Stand in for `Tensor.is_floating_point`."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Stand in for `Tensor.is_complex`."""
        return False

    def element_size(self) -> int:
        """Stand in for `Tensor.element_size`."""
        return self.dtype.itemsize

    def detach(self) -> "StandIn":
        """Stand in for `Tensor.detach`."""
        return self

    contiguous = detach

    def clone(self, **kwargs: Any) -> "StandIn":
        """Return a value of its own: changing it in place leaves this one."""
        return StandIn(self.tape, self.id, self.dtype)

    def __bool__(self) -> bool:
        raise NotElementwise("it branches on the values of a tensor")

    def __float__(self) -> float:
        raise NotElementwise("it reads the value of a tensor")

    __int__ = __index__ = item = tolist = __len__ = __iter__ = __float__

    def __getitem__(self, index: Any) -> "StandIn":
        raise NotElementwise("it uses indexing")

    def __matmul__(self, other: Any) -> "StandIn":
        raise NotElementwise("it multiplies matrices")

    __rmatmul__ = __matmul__

    def __getattr__(self, name: str) -> Any:
        raise NotElementwise(f"it uses Tensor.{name}")
