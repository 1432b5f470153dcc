"""StandIn: what a step gets in place of a tensor while it is recorded.

It is a real tensor, on the meta device, so that C++ code may unpack it; it has the
properties of a tensor that need no values, and operations.py adds the operations.
"""

from sys import getrefcount
from typing import TYPE_CHECKING, Any

import torch

from ....records.tensors.torch_internals import make_subclass, without_dispatch_modes
from .recording import ImpureStepError, NotElementwise, Recording

KEPT_TENSOR = (
    "step() uses a tensor that an earlier call kept in a global, a cache or "
    "an attribute. Keep tensors in the state, or compute them at each step; "
    "numbers may be kept anywhere"
)

_prototypes: dict[torch.dtype, torch.Tensor] = {}


class StandIn(torch.Tensor):
    """What a step gets in place of a tensor; every operation on it is recorded."""

    __slots__ = ("dtype", "id", "tape")
    tape: Recording
    id: int
    dtype: torch.dtype

    # A number of numpy on the left then leaves the operation to the stand-in, instead
    # of converting it to an array.
    __array_ufunc__ = None
    __hash__ = object.__hash__

    @property
    def shape(self) -> torch.Size:  # type: ignore[override]  # an attribute of tensors
        """Its use is recorded, since numbers may depend on it."""
        self.tape.reads_shape = True
        return self.tape.like.shape

    @property
    def ndim(self) -> int:  # type: ignore[override]  # an attribute of tensors
        """Its use is recorded, since numbers may depend on it."""
        self.tape.reads_shape = True
        return self.tape.like.ndim

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # an attribute of tensors
        """The device of the tensors that it represents."""
        return self.tape.like.device

    # A step branches on these as on those of the detached, strided tensors that it gets
    # when it runs.
    requires_grad: Any = property(lambda self: False)
    is_sparse: Any = property(lambda self: False)
    is_leaf: Any = property(lambda self: True)
    layout: Any = property(lambda self: torch.strided)
    grad: Any = property(lambda self: None)
    is_cpu: Any = property(lambda self: self.device.type == "cpu")
    is_cuda: Any = property(lambda self: self.device.type == "cuda")
    is_meta: Any = property(lambda self: self.device.type == "meta")
    itemsize: Any = property(lambda self: self.dtype.itemsize)

    @property
    def data(self) -> "StandIn":  # type: ignore[override]  # an attribute of tensors
        """Stand in for `Tensor.data`."""
        # Torch does not count writes through it, so the loop runs such a step.
        self.tape.shared.add(self.id)
        return self

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

    ndimension = dim

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

    def contiguous(self) -> "StandIn":  # type: ignore[override]  # memory formats are left out
        """Stand in for `Tensor.contiguous`."""
        # It copies only a transposed tensor, which shows once one is changed in place.
        self.tape.shared.add(self.id)
        return self

    def clone(self) -> "StandIn":  # type: ignore[override]  # memory formats are left out
        """Return a copy: changing it in place does not change this one."""
        copy = stand_in(self.tape, self.id, self.dtype)
        self.tape.clones.append(copy)
        return copy

    if not TYPE_CHECKING:  # A type checker refuses unknown names itself.

        def __getattr__(self, name: str) -> Any:
            """Raise ImpureStepError for a stand-in whose recording is closed."""
            # A closed recording removes the IDs, and the slot is empty: the lookup of
            # an existing one costs nothing.
            if name == "id":
                raise ImpureStepError(KEPT_TENSOR)
            raise AttributeError(f"'Tensor' object has no attribute {name!r}")

    def __bool__(self) -> bool:
        raise NotElementwise("it branches on the values of a tensor")

    def __float__(self) -> float:
        raise NotElementwise("it reads the value of a tensor")

    __int__: Any = __float__
    __index__: Any = __float__
    __complex__: Any = __float__
    __len__: Any = __float__
    __iter__: Any = __float__
    item: Any = __float__
    tolist: Any = __float__

    def __contains__(self, value: object) -> bool:
        raise NotElementwise("it reads the value of a tensor")

    def __getitem__(self, index: Any) -> "StandIn":
        raise NotElementwise("it uses indexing")

    def __matmul__(self, other: Any) -> "StandIn":
        raise NotElementwise("it multiplies matrices")

    __rmatmul__: Any = __matmul__

    def __str__(self) -> str:
        raise NotElementwise("it prints a tensor")

    def __format__(self, spec: str) -> str:
        raise NotElementwise("it prints a tensor")

    def __repr__(self) -> str:  # type: ignore[override]  # there are no contents to show
        return f"StandIn({self.dtype})"


def stand_in(tape: Recording, number: int, dtype: torch.dtype) -> StandIn:
    """Return a new stand-in for value ``number`` of ``tape``."""
    prototype = _prototypes.get(dtype)
    alias: StandIn = make_subclass(
        StandIn, _make_prototype(dtype) if prototype is None else prototype
    )
    alias.tape = tape
    alias.id = number
    alias.dtype = dtype
    return alias


def result(tape: Recording, dtype: torch.dtype) -> StandIn:
    """Return the stand-in for the value of the operation that was just recorded.

    Creating a tensor costs more than the rest of a recording, so the one at the same
    position of the last recording is reused, unless the step has kept it.
    """
    dtypes, pool = tape.dtypes, tape.pool
    number = len(dtypes)
    dtypes.append(dtype)
    place = number - tape.n_fixed
    if place < len(pool):
        usual: StandIn = pool[place]
        if getrefcount(usual) == _POOLED and usual.dtype is dtype:
            usual.id = number
            return usual
        # A stand-in that the step kept must not get another ID, which would change its
        # meaning: the pool starts again from here.
        del pool[place:]
    alias = stand_in(tape, number, dtype)
    pool.append(alias)
    return alias


def _references_of_pooled() -> int:
    """Return the reference count that `result` sees for objects of a pool alone."""
    pool: list[object] = [object()]
    usual: object = pool[0]
    return getrefcount(usual)


# The count differs between versions of Python, so it is measured.
_POOLED = _references_of_pooled()


def _make_prototype(dtype: torch.dtype) -> torch.Tensor:
    """Return the tensor without memory that all stand-ins of a dtype are aliases of."""
    # Its shape differs from any parameter's: code that reads it without the stand-in
    # gets numbers that the check of the recorded step finds wrong. It outlives the
    # modes active at its creation, so it is created without any.
    with torch.inference_mode(False), without_dispatch_modes():
        prototype = torch.empty((2, 3, 5, 7), dtype=dtype, device="meta")
    return _prototypes.setdefault(dtype, prototype)
