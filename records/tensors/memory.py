"""The owner of a tensor's memory: for saving, ties, building, loading and passing on.

A tensor *owns* the storage that it was created with, or is a *view* of another's: both
have one `storage_of`. What a load reads is *mapped* or new, and not shared
(`Payload.load`); what an entry holds already is shared, so others take a `snapshot`.
Two tensors are tied that are `alike` at one `memory_address`. And some tensors have no
memory, or none that can be read: `unreadable` explains why.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ...config.process.interrupts import raise_of_signal, suppressed
from ...config.short_text import quantity, with_article
from ..errors import RecordError
from .torch_internals import (
    is_inside_functorch,
    local_part,
    storage_address,
    without_subclasses,
)

ORDINARY = frozenset({Tensor, nn.Parameter, nn.Buffer})
"""Types whose values are in their memory, unless torch wrapped them inside."""

T = TypeVar("T")


def storage_of(tensor: Tensor) -> int:
    """Return a key that all views of one memory share; 0 if there is none."""
    # The Python object may be new at each call; the storage it refers to is not.
    try:
        return storage_address(tensor.untyped_storage())
    except (RuntimeError, ValueError) as error:
        raise_of_signal(error)
        return 0


def memory_address(tensor: Tensor) -> int:
    """Return the address of the values, or 0 if no memory of the tensor shows them."""
    # Unfilled tensors all show one memory until they are filled, and would count as
    # ties.
    _settle(tensor)
    memory = _memory(tensor)
    # A subclass may compute or refuse any method; only its memory matters here.
    try:
        with without_subclasses():
            if memory.is_nested or memory.untyped_storage().device.type == "meta":
                return 0
            return memory.data_ptr()
    except (RuntimeError, ValueError) as error:
        raise_of_signal(error)
        return 0


def alike(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors at one address, not 0, view it in the same way."""
    if type(a) not in ORDINARY or type(b) not in ORDINARY:
        # Two DTensors over one local part are different tensors if placed differently.
        if getattr(a, "placements", None) != getattr(b, "placements", None):
            return False
        a, b = _memory(a), _memory(b)
    return (
        a.dtype is b.dtype
        and a.shape == b.shape
        and a.stride() == b.stride()
        and a.device == b.device
        and a.is_conj() == b.is_conj()
        and a.is_neg() == b.is_neg()
        # On other devices an address may be a mere offset.
        and (a.is_cpu or storage_of(a) == storage_of(b))
    )


class Ties(Generic[T]):
    """Finds the earlier tensor whose memory a tensor shares.

    The caller keeps added tensors alive, since freed memory may be reused.
    """

    def __init__(self) -> None:
        self._by_object: dict[int, T] = {}
        self._by_address: dict[int, list[tuple[Tensor, T]]] = {}

    def owner(self, tensor: Tensor) -> T | None:
        """Return the owner added for the same tensor, or an equal view; else None."""
        owner = self._by_object.get(id(tensor))
        # Nearly all tensors share nothing: comparing objects is cheap, and the address,
        # which takes several calls of torch, comes second.
        address = memory_address(tensor) if owner is None else 0
        if address and tensor.numel():
            for tied, tied_owner in self._by_address.get(address, ()):
                if alike(tied, tensor):
                    return tied_owner
        return owner

    def add(self, tensor: Tensor, owner: T) -> None:
        """Remember ``owner`` for the memory of ``tensor``."""
        self._by_object[id(tensor)] = owner
        if address := memory_address(tensor):
            self._by_address.setdefault(address, []).append((tensor, owner))


def shape_of(tensor: Tensor, path: str) -> tuple[int, ...]:
    """Return the shape; RecordError that names ``path`` for a tensor without one."""
    if tensor.is_nested or nn.parameter.is_lazy(tensor):
        raise RecordError(f"{path}: {unreadable(tensor)}")
    return tuple(tensor.shape)


def snapshot(tensor: Tensor, path: str) -> Tensor:
    """Return the values in new memory; RecordError names ``path`` if there are none."""
    if is_cut_off(tensor):
        raise RecordError(f"{path}: {_cut_off(tensor)}")
    return tensor.detach().clone()


def values_of(tensor: Tensor, path: str) -> Tensor:
    """Return the values as plain strided memory, which may be the tensor's own.

    RecordError that names ``path`` and the remedy for a tensor without readable values.
    """
    # Nearly all tensors return here, after two checks.
    if type(tensor) in ORDINARY and contiguous_address(tensor):
        return tensor
    _settle(tensor)
    problem = unreadable(tensor)
    if problem is not None:
        raise RecordError(f"{path}: {problem}")
    if is_distributed(tensor):
        gathered: Tensor = tensor.full_tensor()  # type: ignore[attr-defined]  # of a DTensor
        return gathered
    if type(tensor) in ORDINARY:
        return tensor
    # A subclass's overrides of methods do not affect the bytes.
    with without_subclasses():
        return tensor.detach().as_subclass(Tensor)


def _settle(tensor: Tensor) -> None:
    """Access the memory of a tensor, which fills an unfilled one.

    Under `skip_init`, a tensor accessed without Python is a blank.
    """
    if type(tensor) not in ORDINARY:
        # A subclass may refuse anything: `unreadable` explains what is wrong.
        with suppressed(Exception):
            tensor.untyped_storage()


def unreadable(tensor: Tensor) -> str | None:
    """Return why no bytes of ``tensor`` can be read, and the remedy; None if they can.

    A DTensor can be read if all its values are in this process.
    """
    memory = _memory(tensor)
    if is_distributed(tensor) and _is_spread(tensor):
        return (
            "a DTensor sharded over several processes. Save it to a folder, in "
            "all of them: save_record(net, 'net/'). For a single file, gather "
            "it in all of them (full_tensor()) and save the plain tensor in one."
        )
    for hinders, problem in _HINDRANCES:
        if hinders(memory):
            return problem
    if memory.layout is not torch.strided:
        return (
            f"a tensor of layout {memory.layout} cannot be stored. Store "
            "tensor.to_dense(), or its inner tensors."
        )
    if memory.is_quantized:
        return (
            "a quantized tensor cannot be stored. Store its integers (int_repr()), "
            "scales and zero points as tensors."
        )
    if is_cut_off(memory):
        return _cut_off(memory)
    # Some devices have no addresses; values are copied from them all the same.
    if _is_elsewhere(memory) or not memory.numel() or memory_address(memory):
        return None
    return (
        f"{with_article(type(memory).__name__)} has no memory of its own to read "
        "or to write. Use its inner tensors, or leave it out."
    )


# The order matters: for a tensor without data, no later check is meaningful.
_HINDRANCES: tuple[tuple[Callable[[Tensor], bool], str], ...] = (
    (
        nn.parameter.is_lazy,
        "a lazy tensor that has no shape yet. Run the module once on an example "
        "input, then save or load it.",
    ),
    (
        lambda memory: memory.is_meta,
        "a tensor on the meta device, which has no values. Build the module with "
        "from_record or skip_init, which need no device='meta' and no "
        "init_empty_weights, or move it with to_empty(device=...).",
    ),
    (
        is_inside_functorch,
        "a tensor inside a torch.func transform, which has no memory of its "
        "own. Save or load the module outside of the transform.",
    ),
    (
        lambda memory: memory.is_nested,
        "a nested tensor, which has no single shape. Store its values() and offsets() "
        "as tensors, or leave it out.",
    ),
)
"""Why no bytes of a tensor can be read, and the remedy."""


def is_dense(tensor: Tensor) -> bool:
    """Return whether the elements fill one run of memory, in any order, each once."""
    if tensor.is_contiguous():
        return True
    if tensor.numel() == 0:
        return False
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def contiguous_address(tensor: Tensor) -> int:
    """Return the address of contiguous bytes of an ordinary tensor; 0 if unsure.

    A fast answer for most tensors: `unreadable` explains the others.
    """
    try:
        size, room = tensor.nbytes, tensor.untyped_storage().nbytes()
        if room != size and tensor.storage_offset() * tensor.itemsize + size > room:
            return 0
        return tensor.data_ptr() if tensor.is_contiguous() else 0
    except RuntimeError as error:
        raise_of_signal(error)
        return 0


def spanned_bytes(tensor: Tensor) -> int:
    """Return the number of bytes from its first element to the end of its last one."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last_offset = sum((size - 1) * stride for size, stride in steps)
    return (last_offset + 1) * tensor.element_size()


def is_cut_off(tensor: Tensor) -> bool:
    """Return whether the storage is smaller than the tensor's view of it.

    A storage freed by ``resize_(0)`` is. Torch reads beyond it without an error.
    """
    try:
        with without_subclasses():
            return bool(tensor.numel()) and _end(tensor) > _size(tensor)
    except (RuntimeError, ValueError) as error:
        raise_of_signal(error)
        return False


def is_distributed(tensor: Tensor) -> bool:
    """Return whether this is a DTensor, of which this process has a part."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "to_local")


def _is_spread(tensor: Any) -> bool:
    """Return whether the processes of a DTensor have different parts of it."""
    return bool(tensor.device_mesh.size() > 1) and not all(
        placement.is_replicate() for placement in tensor.placements
    )


def _memory(tensor: Tensor) -> Tensor:
    """Return the tensor itself, or the part of a DTensor that is in this process."""
    if type(tensor) in ORDINARY or not is_distributed(tensor):
        return tensor
    return local_part(tensor)


def _is_elsewhere(tensor: Tensor) -> bool:
    """Return whether the values are copied from a device without addresses."""
    return type(tensor) in ORDINARY and not tensor.is_cpu


def _end(tensor: Tensor) -> int:
    """Return the last byte of its storage that the tensor reaches."""
    offset = int(tensor.storage_offset())
    return offset * tensor.element_size() + spanned_bytes(tensor)


def _size(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()


def _cut_off(tensor: Tensor) -> str:
    return (
        f"its storage has {quantity(_size(tensor), 'byte')} and the tensor reaches "
        "to byte "
        f"{_end(tensor):,}: it was freed or shrunk. Restore it first; save or load a "
        "sharded module outside its forward pass."
    )
