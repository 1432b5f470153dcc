"""Which names of torch the library uses that torch does not promise.

One that goes fails here by name, with the versions that had it.
"""

import ast
import importlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parent.parent
LAYERS = ["config", "records", "core", "optim", "train", "cli"]
RUN = "2.6, 2.13 and 2.15"

MODULE = nn.BatchNorm1d(1)
OBJECTS: dict[str, Any] = {
    "torch": torch,
    "module": MODULE,
    "compiled": torch.compile(MODULE, backend="eager"),
    "optimizer": torch.optim.SGD(MODULE.parameters(), lr=0.1),
    "lbfgs": torch.optim.LBFGS(MODULE.parameters()),
    "storage": torch.ones(1).untyped_storage(),
}

PLACES = {
    "torch._C": "home of the names below",
    "torch._C.DisableTorchFunction": "past modes and subclasses",
    "torch._C.DisableTorchFunctionSubclass": "past subclasses",
    "torch._C._dynamo.guards.TensorGuards": "whether gradients changed form",
    "torch._C._dynamo.guards._torchinductor_pyobject_tensor_data_ptr": (
        "asks thousands of tensors for their address in one call"
    ),
    "torch._C._functorch.is_functorch_wrapped_tensor": "tensors without memory",
    "torch._C._len_torch_dispatch_stack": "copies no layers in a mode that fakes them",
    "torch._C._set_grad_enabled": "turns gradients off for a step",
    "torch._C._storage_Use_Count": "sees who else stands on the memory of a parameter",
    "torch._disable_dynamo": "breaks the graph of torch.compile at a step",
    "torch._foreach_copy_": "copies many tensors in one call",
    "torch._fused_adagrad_": "the engine torch_fused",
    "torch._fused_adam_": "the engine torch_fused",
    "torch._fused_adamw_": "the engine torch_fused",
    "torch._fused_sgd_": "the engine torch_fused",
    "torch._has_compatible_shallow_copy_type": "may become a parameter's",
    "torch._neg_view": "tries values on memory that shows them negated",
    "torch.Tensor._make_subclass": "unfilled parameters",
    "torch.Tensor._version": "sees that a tensor changed between two steps",
    "torch.autograd._profiler_enabled": "whether a step is named",
    "torch.distributed.distributed_c10d._set_pg_timeout": "who met may wait for hours",
    "torch.distributed.tensor.DTensor._local_tensor": "whose memory it is",
    "torch.nn.Module._load_from_state_dict": "who converts what it loads",
    "torch.nn.Module._save_to_state_dict": "who writes more than it has",
    "torch.nn.Module._version": "which form of a state dict a class writes",
    "torch.nn.init._calculate_fan_in_and_fan_out": "what constructors of layers call",
    "torch.nn.init._no_grad_trunc_normal_": "an initializer that reads",
    "torch.nn.modules.batchnorm._BatchNorm": "layers SyncBatchNorm replaces",
    "torch.nn.modules.batchnorm._NormBase": "layers that count batches",
    "torch.nn.modules.module._global_parameter_registration_hooks": (
        "copies no layers whose parameters somebody watches"
    ),
    "torch.optim.optimizer._global_optimizer_post_hooks": "hooks on all optimizers",
    "torch.optim.optimizer._global_optimizer_pre_hooks": "hooks on all optimizers",
    "torch.overrides._get_current_function_mode_stack": "puts modes back after Ctrl-C",
    "torch.overrides._pop_mode": "puts modes back after Ctrl-C",
    "torch.overrides._push_mode": "puts modes back after Ctrl-C",
    "torch.utils._python_dispatch.TorchDispatchMode": "guards blanks, watches a step",
    "torch.utils._python_dispatch._disable_current_modes": "past modes of others",
    "compiled._orig_mod": "finds the module in a compiled one",
    "lbfgs._numel_cache": "lets LBFGS of torch do its search",
    "lbfgs._params": "lets LBFGS of torch do its search",
    "module._buffers": "tables that users' code stands on as well",
    "module._load_state_dict_post_hooks": "calls hooks that want to know of a load",
    "module._load_state_dict_pre_hooks": "sees hooks that convert what is loaded",
    "module._modules": "tables that users' code stands on as well",
    "module._non_persistent_buffers_set": "knows buffers that are not saved",
    "module._parameters": "tables that users' code stands on as well",
    "module._state_dict_hooks": "sees hooks that write more than the module shows",
    "optimizer._optimizer_step_post_hooks": "runs hooks of one optimizer",
    "optimizer._optimizer_step_pre_hooks": "runs hooks of one optimizer",
    "storage._cdata": "tells storages apart, whatever object shows them",
}
"""What each is for; all were there on the versions of torch that `RUN` names."""

CONSTANTS = {
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper"
    "._CHECKPOINT_WRAPPED_MODULE": "_checkpoint_wrapped_module",
    "torch.distributed.fsdp._common_utils.FSDP_WRAPPED_MODULE": "_fsdp_wrapped_module",
}
"""Names of attributes that a wrapper of torch keeps its module under."""

OF_OTHERS = frozenset(
    {
        "_FIELD_INITVAR",  # dataclasses
        "_SubprocessScriptLauncher",  # Lightning: starts the other processes
        "_actions",  # argparse: the options of a parser
        "_batches_that_stepped",  # Lightning: the number that loggers are told
        "_computed",  # Lightning: what a metric is known to be
        "_current_frames",  # sys
        "_enable_version_counter",  # Lightning: of a ModelCheckpoint
        "_exit",  # os
        "_field_type",  # dataclasses
        "_monitor_candidates",  # Lightning: what a name of a checkpoint may hold
        "_num_ready_batches_reached",  # Lightning: whether an epoch's batches are done
        "_should_accumulate",  # Lightning: whether a batch only adds to gradients
        "_should_check_val_fx",  # Lightning: whether a validation follows a batch
        "_launcher",  # Lightning: what a strategy starts processes by
        "_save_distributed_checkpoint",  # Lightning: of a ModelParallelStrategy
        "_trainer",  # Lightning
    }
)


def resolve(place: str) -> Any:
    """Return what stands at ``place``; AttributeError where it is no longer."""
    name, *rest = place.split(".")
    value = OBJECTS[name]
    for index, part in enumerate(rest):
        if isinstance(value, ModuleType):
            # A package may show a function in place of its module of the same name.
            with suppress(ModuleNotFoundError):
                value = importlib.import_module(".".join([name, *rest[: index + 1]]))
                continue
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("place", PLACES)
def test_torch_still_has_the_private_name(place: str) -> None:
    try:
        resolve(place)
    except AttributeError:
        pytest.fail(
            f"torch {torch.__version__} has no {place} ({PLACES[place]}), which was "
            f"there on {RUN}; look for what replaced it in torch's own code"
        )


@pytest.mark.parametrize("place", CONSTANTS)
def test_wrappers_of_torch_keep_their_module_under_the_same_name(place: str) -> None:
    assert resolve(place) == CONSTANTS[place]


def test_torch_has_a_kernel_for_lists_of_every_operation_that_uses_one() -> None:
    # Imported here: if torch lost a name that it uses, the table says which.
    from burnish.optim.engines import foreach

    names = {*foreach._FOREACH.values(), "addcmul", "addcdiv", "lerp", "pow"}  # pyright: ignore[reportPrivateUsage]

    missing = [n for n in sorted(names) if not hasattr(torch, f"_foreach_{n}")]

    assert not missing, f"torch {torch.__version__} has no _foreach_ {missing}"


def test_every_private_name_of_torch_in_the_library_is_in_the_table() -> None:
    known = {part for place in PLACES for part in place.split(".")} | OF_OTHERS
    defined: set[str] = set()
    uses: dict[Path, list[tuple[int, str, bool]]] = {}
    for layer in LAYERS:
        for file in sorted((ROOT / layer).rglob("*.py")):
            nodes = [*ast.walk(ast.parse(file.read_text()))]
            defined.update(definitions(nodes))
            uses[file] = [*private_uses(nodes)]

    foreign = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file, of_file in uses.items()
        for line, name, is_of_torch in of_file
        if name not in known and (is_of_torch or name not in defined)
    ]

    assert foreign == []


FOLDERS_WITHOUT = ["records", "core", "optim"]
"""Folders in which one file alone knows private names of torch."""

TABLES = {"_parameters", "_buffers", "_modules", "_orig_mod"}
"""What code of users stands on as well, and what a path may consist of."""


@pytest.mark.parametrize("folder", FOLDERS_WITHOUT)
def test_private_names_of_torch_stand_in_one_module(folder: str) -> None:
    home = ROOT / "records" / "tensors" / "torch_internals.py"
    names = {p for place in PLACES for p in place.split(".") if is_private(p)} - TABLES
    uses = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        if file != home
        for line, name in named_of_torch(ast.parse(file.read_text()))
        if name in names
    ]

    assert uses == []


def named_of_torch(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the private names that are looked up, imported or put in quotes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [*(node.module or "").split("."), *(a.name for a in node.names)]
            yield from [(node.lineno, name) for name in names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def definitions(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the names that a file of the library gives to something of its own."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Names that are set by setattr, or stand in the dict of a class.
            yield from [node.value] * node.value.startswith("_burnish_")


def private_uses(nodes: list[ast.AST]) -> Iterator[tuple[int, str, bool]]:
    """Yield line and name of each private attribute, and whether torch must have it."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value).split(".")[0]
            yield node.lineno, node.attr, owner in ("torch", "nn", "internals")
        elif isinstance(node, ast.ImportFrom) and not node.level:
            of_torch = (node.module or "").split(".")[0] == "torch"
            for alias in node.names:
                if is_private(alias.name):
                    yield node.lineno, alias.name, of_torch
