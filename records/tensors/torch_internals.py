# pyright: reportPrivateUsage=false
# This is the file in which torch's private names stand.
"""The parts of torch used here that torch does not promise: one function per name.

A test states what each is for, and in which versions of torch it exists. The names are
bound once, so that loops over all tensors of a module need no further call. The dicts
of a module (``_parameters``, ``_buffers``, ``_modules``), on which users' code relies
as well, are the only ones that are read where they are needed.
"""

import ctypes
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode

from ...config.process.interrupts import suppressed

without_subclasses: Callable[[], AbstractContextManager[Any]] = (
    torch._C.DisableTorchFunctionSubclass
)
"""A block in which torch does not call overrides of its arguments' subclasses."""

without_functions: Callable[[], AbstractContextManager[Any]] = (
    torch._C.DisableTorchFunction
)
"""A block in which torch calls neither subclasses nor the active modes."""

storage_address: Callable[[torch.UntypedStorage], int] = attrgetter("_cdata")
"""The storage that the Python object refers to, since one may have several objects."""

_n_storage_users: Callable[[int], int] = torch._C._storage_Use_Count
"""How many tensors and Python objects refer to the storage at an address."""


def n_tensors_on(tensor: Tensor) -> int:
    """Return how many tensors use the memory of ``tensor``, itself included."""
    storage = tensor.untyped_storage()
    # The Python object whose address is read refers to the storage too.
    return _n_storage_users(storage_address(storage)) - 1


make_subclass: Callable[..., Any] = torch.Tensor._make_subclass
"""Return a tensor of a subclass on the memory of another, without its constructor."""

negated_view: Callable[[Tensor], Tensor] = torch._neg_view  # pyright: ignore[reportPrivateImportUsage]
"""A view that shows every value with the opposite sign, as torch's own are made."""

have_one_implementation: Callable[[Tensor, Tensor], bool]
have_one_implementation = vars(torch)["_has_compatible_shallow_copy_type"]
"""Whether assigning the second to ``data`` of the first keeps the tensor object."""

is_inside_functorch: Callable[[Tensor], bool]
is_inside_functorch = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore[reportAttributeAccessIssue]  # has no types
"""Whether a tensor represents another one in a transformation of ``torch.func``."""

modes_in_force: Callable[[], list[Any]]
modes_in_force = torch.overrides._get_current_function_mode_stack
"""The function modes of this thread, the innermost last."""

n_dispatch_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack
"""The number of modes of this thread that fake or observe what torch computes."""

parameter_hooks_of_all: Mapping[int, Any]
parameter_hooks_of_all = torch.nn.modules.module._global_parameter_registration_hooks
"""The hooks called when any module gets a parameter."""

pop_mode: Callable[[], Any] = torch.overrides._pop_mode
push_mode: Callable[[Any], None] = torch.overrides._push_mode

TRUNCATED_NORMAL = "_no_grad_trunc_normal_"
"""What ``torch.nn.init.trunc_normal_`` calls: it reads what it has just drawn."""

FANS = "_calculate_fan_in_and_fan_out"
"""The function by which initializers of ``torch.nn.init`` get a weight's size."""

transient_buffers: Callable[[Any], set[str]] = attrgetter("_non_persistent_buffers_set")
"""The names of a module's buffers that its state dict leaves out."""

state_dict_hooks: Callable[[Any], Mapping[int, Any]] = attrgetter("_state_dict_hooks")
load_hooks: Callable[[Any], Mapping[int, Any]] = attrgetter(
    "_load_state_dict_pre_hooks"
)
"""The hooks of a module before it loads a state dict."""

load_post_hooks: Callable[[Any], Mapping[int, Any]] = attrgetter(
    "_load_state_dict_post_hooks"
)
"""The hooks of a module after it has loaded a state dict."""

state_dict_writer: Callable[[Any], Callable[..., None]]
state_dict_writer = attrgetter("_save_to_state_dict")
"""How a module, or a class of them, writes its own part of a state dict."""

state_dict_reader: Callable[[Any], Callable[..., None]]
state_dict_reader = attrgetter("_load_from_state_dict")
"""How a module, or a class of them, takes its own part of a state dict."""

state_dict_version: Callable[[Any], Any] = attrgetter("_version")
"""The version of a class's part of a state dict; None if it never changed."""

local_part: Callable[[Any], Tensor] = attrgetter("_local_tensor")
"""The part of a DTensor in this process; its ``to_local()`` makes a new tensor."""

BatchNorm: type[Any] = torch.nn.modules.batchnorm._BatchNorm
"""The base of all layers that normalize over a batch, for any number of dimensions."""

NormBase: type[Any] = torch.nn.modules.batchnorm._NormBase
"""The base of all BatchNorm and InstanceNorm, for any number of dimensions."""

F = TypeVar("F", bound=Callable[..., Any])

_disable_dynamo: Any = vars(torch)["_disable_dynamo"]


def untraced(function: F) -> F:
    """Return ``function`` so that torch.compile breaks its graph at a call of it."""
    wrapped: F = _disable_dynamo(function)
    return wrapped


set_grad_enabled: Callable[[bool], None] = torch._C._set_grad_enabled
"""Turn gradients on or off; the public context costs a tenth of a small step."""

is_profiling: Callable[[], bool] = vars(torch.autograd)["_profiler_enabled"]
"""Whether a profiler is active, which names the steps of optimizers."""

without_dispatch_modes: Callable[[], AbstractContextManager[Any]]
without_dispatch_modes = torch.utils._python_dispatch._disable_current_modes  # pyright: ignore[reportAttributeAccessIssue]  # imported above
"""A block in which no mode fakes or observes tensors."""

tensor_version: Callable[[Any], int] = attrgetter("_version")
"""A number that grows with every write to a tensor's memory."""

copy_tensors: Callable[[list[Tensor], list[Tensor]], Any]
copy_tensors = vars(torch)["_foreach_copy_"]
"""Copy the second list of tensors into the first, in one call."""


def compute_in_this_thread_alone() -> None:
    """Let torch compute in this thread without others; other threads keep theirs.

    A Python thread has a team of threads of its own, besides that of the main one, and
    two teams on the same cores wait for each other. `torch.set_num_threads` would
    affect all threads that start later; OpenMP does it for one.
    """
    # Torch sets the number of a new thread when it is first read.
    torch.get_num_threads()
    _set_threads_of_this_thread(1)


@contextmanager
def computing_in_this_thread_alone() -> Generator[None]:
    """Let a block of the calling thread compute so; its team is restored after that."""
    before = torch.get_num_threads()
    try:
        _set_threads_of_this_thread(1)
        yield
    finally:
        _set_threads_of_this_thread(before)


def _set_threads_of_this_thread(count: int) -> None:
    set_threads = _omp_set_num_threads()
    if set_threads is not None:
        set_threads(count)


@cache
def _omp_set_num_threads() -> Callable[[int], object] | None:
    """Return that function of OpenMP, if torch was built with it.

    A build without OpenMP has a pool that all threads share.
    """
    with suppressed(OSError, AttributeError):
        function: Callable[[int], object]
        function = ctypes.CDLL(torch._C.__file__).omp_set_num_threads
        return function
    return None


fused_adam: Callable[..., Any] = vars(torch)["_fused_adam_"]
fused_adamw: Callable[..., Any] = vars(torch)["_fused_adamw_"]
fused_sgd: Callable[..., Any] = vars(torch)["_fused_sgd_"]
fused_adagrad: Callable[..., Any] = vars(torch)["_fused_adagrad_"]
"""Step lists of tensors with their states, each list in one call."""

step_hooks: Callable[[Any], tuple[dict[int, Any], dict[int, Any]]]
step_hooks = attrgetter("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
"""The hooks of one optimizer, before and after its steps."""

_optimizers: Any = import_module("torch.optim.optimizer")
pre_hooks_of_all: dict[int, Any] = _optimizers._global_optimizer_pre_hooks
post_hooks_of_all: dict[int, Any] = _optimizers._global_optimizer_post_hooks
"""The hooks of every optimizer; torch adds to these dicts and never replaces them."""

step_wrapper: Any = torch.optim.Optimizer.profile_hook_step(
    lambda optimizer: None  # never called
).__code__
"""The code by which torch wraps the ``step`` of a class, to call the hooks."""

lbfgs_params: Callable[[Any], list[Tensor]] = attrgetter("_params")
"""The parameters that torch's LBFGS steps together."""

LBFGS_ATTRIBUTES = ("_params", "_numel_cache")
"""What torch's LBFGS keeps besides groups and state; its step needs both."""


def guard_of(tensors: list[Tensor]) -> Any:
    """Return a check of other tensors against the forms of these, in one pass in C.

    It compares types, dtypes, devices, shapes and strides, like Dynamo before it runs a
    compiled graph. It holds none of the tensors.
    """
    sizes = [list(t.shape) for t in tensors]
    strides = [list(t.stride()) for t in tensors]
    guards: Any = torch._C._dynamo.guards.TensorGuards  # pyright: ignore[reportAttributeAccessIssue]  # has no types
    return guards(*tensors, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides)


address_in_c: int | None = vars(torch._C._dynamo.guards).get(  # pyright: ignore[reportAttributeAccessIssue]  # has no types
    "_torchinductor_pyobject_tensor_data_ptr"
)
"""The address of the C function that returns the address of a tensor's data."""


def set_group_timeout(group: Any, timeout: timedelta) -> None:
    """Set the timeout of messages of a group of `torch.distributed` from now on."""
    distributed = import_module("torch.distributed")
    if hasattr(distributed, "set_timeout"):  # its public name, from torch 2.14 on
        distributed.set_timeout(timeout, group)
        return
    import_module("torch.distributed.distributed_c10d")._set_pg_timeout(timeout, group)
