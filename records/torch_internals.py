# pyright: reportPrivateUsage=false
# This is the file in which torch's private names stand.
"""What is used of torch that torch does not promise: one function a name.

A test says what each is for, and on which versions of torch it was there. The names
are bound once, so that loops over all tensors of a module make no call more. The tables
of a module (``_parameters``, ``_buffers``, ``_modules``), on which code of users stands
as well, are the only ones that are read where they are needed.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode

without_subclasses: Callable[[], AbstractContextManager[Any]] = (
    torch._C.DisableTorchFunctionSubclass
)
"""A block in which torch does not ask the subclasses of its arguments."""

without_functions: Callable[[], AbstractContextManager[Any]] = (
    torch._C.DisableTorchFunction
)
"""A block in which torch asks neither subclasses nor the modes in force."""

storage_address: Callable[[torch.UntypedStorage], int] = attrgetter("_cdata")
"""Which storage the Python object refers to: there may be several objects for one."""

n_storage_users: Callable[[int], int] = torch._C._storage_Use_Count
"""How many tensors and storage objects stand on the storage at an address.

The object that was asked for its address is one of them.
"""

make_subclass: Callable[..., Any] = torch.Tensor._make_subclass
"""Return a tensor of a subclass on the memory of another, without its constructor."""

negated_view: Callable[[Tensor], Tensor] = torch._neg_view  # pyright: ignore[reportPrivateImportUsage]
"""A view that shows every value with the other sign, as torch's own are made."""

have_one_implementation: Callable[[Tensor, Tensor], bool]
have_one_implementation = vars(torch)["_has_compatible_shallow_copy_type"]
"""Whether assigning the second to ``data`` of the first keeps the tensor object."""

flatten: Callable[[list[Tensor]], Tensor] = torch._utils._flatten_dense_tensors
"""Copy the values of many tensors into one row, in one call."""

is_inside_functorch: Callable[[Tensor], bool]
is_inside_functorch = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore[reportAttributeAccessIssue]  # has no types
"""Whether a tensor stands for another one in a transformation of ``torch.func``."""

modes_in_force: Callable[[], list[Any]]
modes_in_force = torch.overrides._get_current_function_mode_stack
"""The function modes of this thread, the innermost last."""

pop_mode: Callable[[], Any] = torch.overrides._pop_mode
push_mode: Callable[[Any], None] = torch.overrides._push_mode

TRUNCATED_NORMAL = "_no_grad_trunc_normal_"
"""What ``torch.nn.init.trunc_normal_`` calls: it reads what it has just drawn."""

transient_buffers: Callable[[Any], set[str]] = attrgetter("_non_persistent_buffers_set")
"""The names of a module's buffers that its state dict leaves out."""

state_dict_hooks: Callable[[Any], Mapping[int, Any]] = attrgetter("_state_dict_hooks")
load_hooks: Callable[[Any], Mapping[int, Any]] = attrgetter(
    "_load_state_dict_pre_hooks"
)
"""What a module calls before it takes the values of a state dict."""

state_dict_writer: Callable[[Any], Callable[..., None]]
state_dict_writer = attrgetter("_save_to_state_dict")
"""How a module, or a class of them, writes its own part of a state dict."""

state_dict_reader: Callable[[Any], Callable[..., None]]
state_dict_reader = attrgetter("_load_from_state_dict")
"""How a module, or a class of them, takes its own part of a state dict."""

state_dict_version: Callable[[Any], Any] = attrgetter("_version")
"""Which form of its part of a state dict a class writes; None if it never changed."""

local_part: Callable[[Any], Tensor] = attrgetter("_local_tensor")
"""The part of a DTensor in this process; its ``to_local()`` makes a new tensor."""

BatchNorm: type[Any] = torch.nn.modules.batchnorm._BatchNorm
"""The class of all that normalize over a batch, whatever its dimensions."""
