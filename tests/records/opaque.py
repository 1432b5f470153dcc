"""Tensors whose values no bytes show, and a child process to meet them in."""

import os
import pickle
import signal
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def freed() -> Tensor:
    tensor = torch.ones(3)
    tensor.untyped_storage().resize_(0)
    return tensor


def cut_off() -> Tensor:
    tensor = torch.ones(1000)[1:]
    tensor.untyped_storage().resize_(16)
    return tensor


def two_tensor() -> Tensor:
    from torch.testing._internal.two_tensor import TwoTensor

    two: Tensor = TwoTensor(torch.ones(3), torch.zeros(3))  # type: ignore[no-untyped-call]  # torch's
    return two


def fake() -> Tensor:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():  # type: ignore[no-untyped-call]  # torch's
        return torch.ones(3)


def masked() -> Tensor:
    from torch.masked import masked_tensor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor: Tensor = masked_tensor(torch.ones(3), torch.tensor([True, False, True]))
    return tensor


def quantized() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


def jagged() -> Tensor:
    parts = [torch.ones(2), torch.ones(3)]
    return torch.nested.nested_tensor(parts, layout=torch.jagged)


class Wrapper(Tensor):
    """A tensor that says its shape, and has no values at all."""

    @staticmethod
    def __new__(cls: Any) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, (3,), dtype=torch.float32)  # type: ignore[attr-defined]  # private

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # its first argument is left out there
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.aten.detach.default:
            return cls()
        raise NotImplementedError(f"{func}")


def compressed() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.eye(3).to_sparse_csr()


OPAQUE: dict[str, tuple[Callable[[], Tensor], str]] = {
    "freed": (freed, "its storage has 0 bytes"),
    "cut off": (cut_off, "its storage has 16 bytes"),
    "two tensors": (two_tensor, "a TwoTensor has no memory of its own"),
    "fake": (fake, "a FakeTensor has no memory of its own"),
    "masked": (masked, "a MaskedTensor has no memory of its own"),
    "a wrapper": (Wrapper, "a Wrapper has no memory of its own"),
    "functional": (
        lambda: torch._to_functional_tensor(torch.ones(3)),  # type: ignore[attr-defined]  # private
        "a Tensor has no memory of its own",
    ),
    "zeros": (
        lambda: torch._efficientzerotensor((3,)),  # type: ignore[attr-defined]  # private
        "a Tensor has no memory of its own",
    ),
    "quantized": (quantized, "a quantized tensor"),
    "sparse": (lambda: torch.eye(3).to_sparse(), "a tensor of layout torch.sparse_coo"),
    "compressed": (compressed, "a tensor of layout torch.sparse_csr"),
    "mkldnn": (lambda: torch.ones(3).to_mkldnn(), "a tensor of layout torch._mkldnn"),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "a nested tensor",
    ),
    "jagged": (jagged, "a nested tensor"),
    "meta": (lambda: torch.ones(3, device="meta"), "a tensor on the meta device"),
}


def in_child(work: Callable[[], Any]) -> Any:
    """Return what ``work`` returns in a forked process, or how that one ended."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os.close(reading)
        # The threads of its parent are not there: nothing may wait for them.
        torch.set_num_threads(1)
        signal.alarm(20)
        try:
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(answer))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    status = os.waitpid(child, 0)[1]
    return pickle.loads(data) if data else f"ended with status {status}"


@contextmanager
def process_group(*, size: int = 1, backend: str = "gloo") -> Generator[Any]:
    """Yield what makes a DTensor of a tensor, in the first of ``size`` processes."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    store: Any = dist.HashStore()  # type: ignore[attr-defined]  # not listed
    if backend == "fake":
        from torch.testing._internal.distributed.fake_pg import FakeStore

        store = FakeStore()
    dist.init_process_group(backend, store=store, rank=0, world_size=size)
    try:
        mesh = init_device_mesh("cpu", (size,))

        def distribute(tensor: Tensor, how: str = "parts") -> Tensor:
            placement = Shard(0) if how == "parts" else Replicate()
            with warnings.catch_warnings():
                # Older torch speaks of random numbers, which nobody draws here.
                warnings.simplefilter("ignore")
                return distribute_tensor(tensor, mesh, [placement])

        yield distribute
    finally:
        dist.destroy_process_group()
