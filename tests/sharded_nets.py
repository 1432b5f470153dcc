"""Modules whose parameters are spread over the processes of a test."""

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

needs_sharding = pytest.mark.skipif(
    not hasattr(torch.cpu.Stream, "record_event"),
    reason="this torch cannot shard a module on the CPU",
)

if hasattr(torch.cpu.Stream, "record_event"):
    # Each test forks: what is imported here, none of its processes has to import.
    for name in (
        "torch._dynamo",
        "torch.distributed.checkpoint",
        "torch.distributed.checkpoint.state_dict",
        "torch.distributed.fsdp",
        "torch.distributed.tensor.parallel",
    ):
        import_module(name)


def plain_net(width: int = 6) -> nn.Sequential:
    """Return a module with the same values in every process: uneven shares, and a
    vector of one element, of which one process has nothing."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(width, width + 1), nn.Tanh(), nn.Linear(width + 1, 1)
    )


def mesh_of(*shape: int, names: tuple[str, ...] | None = None) -> Any:
    """Return a mesh of all processes, or of this shape."""
    from torch.distributed.device_mesh import init_device_mesh

    sizes = shape or (torch.distributed.get_world_size(),)
    return init_device_mesh("cpu", sizes, mesh_dim_names=names)


def fsdp(net: Any, mesh: Any = None) -> Any:
    """Return ``net`` sharded over ``mesh``."""
    from torch.distributed.fsdp import fully_shard

    return fully_shard(net, mesh=mesh or mesh_of())


def tensor_parallel(net: Any, mesh: Any = None) -> Any:
    """Return ``net`` with its first layer cut by rows; the others stay plain."""
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    plan: Any = {"0": ColwiseParallel(output_layouts=Replicate())}
    return parallelize_module(net, mesh or mesh_of(), plan)


def whole(tensor: Any) -> torch.Tensor:
    """Return all values of a tensor, on every process."""
    values = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    copy: torch.Tensor = values.detach().clone()
    return copy


def whole_values(net: nn.Module) -> dict[str, torch.Tensor]:
    """Return the values of all parameters and buffers, on every process."""
    # Extra state stands among them.
    return {
        name: whole(tensor)
        for name, tensor in net.state_dict().items()
        if isinstance(tensor, torch.Tensor)
    }


def assert_same_values(net: nn.Module, plain: nn.Module, tolerance: float) -> None:
    """Compare what is spread over processes with the parameters of one process."""
    for name, values in whole_values(net).items():
        expected = plain.get_parameter(name)
        assert torch.allclose(values, expected, rtol=0, atol=tolerance), name


def example(width: int = 6) -> torch.Tensor:
    """Return the same input on every process."""
    return torch.arange(4.0 * width).reshape(4, width) / (4 * width)


def backward(net: Any) -> None:
    """Give every parameter a gradient, the same as one process would compute."""
    net.zero_grad()
    net(example()).square().mean().backward()
