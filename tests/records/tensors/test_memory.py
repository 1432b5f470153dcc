"""Whose memory a tensor shows, and what happens where there is none."""

import importlib
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import from_record, into_record, load_record
from burnish.optim import AdamW
from burnish.records import FlatRecord, Record, RecordError
from burnish.records.tensors.bits import same_bits
from burnish.records.tensors.memory import is_dense, values_of

from ...formats_of_records import OWN_RECORDERS
from ..opaque import OPAQUE, in_child, process_group


@pytest.fixture(autouse=True, scope="module")
def imports() -> None:
    """Import what torch imports late, so that no child has to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for make, _ in OPAQUE.values():
            make()
        importlib.import_module("torch.distributed.tensor")


class Box(Record):
    value: Tensor
    other: Tensor


class Net(nn.Module):
    """A layer, and a buffer that nobody checked."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.inner = nn.Module()
        # Register_buffer would refuse what is not a tensor.
        self.inner._buffers["value"] = value  # pyright: ignore[reportPrivateUsage]


def outcome(work: Callable[[], object]) -> str:
    try:
        return f"returned {type(work()).__name__}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def attempts(make: Callable[[], Tensor]) -> dict[str, str]:
    """Return what came of every way to store the tensor, or to fill it."""
    tensor = make()
    shape = () if tensor.is_nested else tuple(tensor.shape)
    filled = into_record(Net(torch.ones(shape)))
    ways: dict[str, Callable[[], object]] = {
        "fill": lambda: load_record(Net(tensor), filled),
        "build": lambda: from_record(lambda: Net(make()), filled),
    }
    for name, recorder in OWN_RECORDERS.items():
        save = partial(burnish.save_record, recorder=recorder)
        dumps, box = recorder.dumps, partial(Box, torch.ones(1))
        ways[f"module as {name}"] = partial(_after, save, Net, tensor)
        ways[f"state dict as {name}"] = partial(_after, dumps, _named, tensor)
        if name != "safetensors":
            ways[f"fields as {name}"] = partial(_after, dumps, box, tensor)
    return {name: outcome(way) for name, way in ways.items()}


def _after(save: Any, hold: Any, tensor: Tensor) -> object:
    return save(hold(tensor))


def _named(tensor: Tensor) -> FlatRecord:
    return Record.from_state_dict({"inner.value": tensor})


@pytest.mark.parametrize("kind", OPAQUE)
def test_a_tensor_without_readable_memory_is_refused_by_name(kind: str) -> None:
    make, problem = OPAQUE[kind]

    outcomes = in_child(lambda: attempts(make))

    # A child that died says so instead.
    assert isinstance(outcomes, dict)
    for way, text in outcomes.items():
        if kind == "two tensors":
            # What is wrapped is stored, in every way; the child lived through it.
            continue
        path = "other" if "fields" in way else "inner.value"
        assert text.startswith(("RecordError", "RecordMismatchError")), (way, text)
        assert f"{path}: " in text, (way, text)
        if kind != "quantized":
            assert f"{path}: {problem}" in text, (way, text)


@pytest.mark.parametrize("kind", OPAQUE)
def test_a_module_is_not_filled_from_what_cannot_be_read(kind: str) -> None:
    make, _ = OPAQUE[kind]

    def work() -> list[str]:
        tensor = make()
        shape = () if tensor.is_nested else tuple(tensor.shape)
        net = Net(torch.zeros(shape))
        build = partial(Net, next(net.buffers()))

        def moved() -> FlatRecord:
            return burnish.open_record(_named(tensor), device="cpu")

        texts = [
            outcome(lambda: load_record(net, _named(tensor), strict=False)),
            outcome(lambda: load_record(net, moved(), strict=False)),
            outcome(lambda: from_record(build, _named(tensor), strict=False)),
            outcome(lambda: from_record(build, moved(), strict=False)),
        ]
        return [*texts, str(float(next(net.buffers()).sum()))]

    *texts, total = in_child(work)

    assert total == "0.0"
    assert all("inner.value: " in text for text in texts), texts
    assert all(text.startswith("Record") for text in texts), texts


@pytest.mark.parametrize("kind", OPAQUE)
def test_what_has_no_readable_memory_can_be_left_out(kind: str) -> None:
    make, _ = OPAQUE[kind]

    def work() -> list[str]:
        net = Net(make())
        data = burnish.save_record(net, exclude="inner.value")
        chosen = burnish.open_record(data, only="layer.**")
        return load_record(net, chosen).loaded

    assert in_child(work) == ["layer.weight", "layer.bias"]


@pytest.mark.parametrize("kind", ["freed", "cut off"])
def test_a_snapshot_of_freed_memory_is_refused(kind: str) -> None:
    make, problem = OPAQUE[kind]

    def work() -> list[str]:
        return [
            outcome(into_record(Net(make())).clone),
            outcome(Box(value=make(), other=make()).clone),
        ]

    module, fields = in_child(work)

    assert module.startswith(f"RecordError: inner.value: {problem}")
    assert fields.startswith(f"RecordError: value: {problem}")


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("transform", ["grad", "vmap", "jvp"])
def test_a_record_inside_a_transformation_is_refused(transform: str) -> None:
    net, filled = Net(None), into_record(Net(torch.zeros(3)))

    def work(x: Tensor) -> Tensor:
        net.inner.register_buffer("value", x)
        with pytest.raises(RecordError, match=r"inner\.value: a tensor inside a torch"):
            burnish.save_record(net)
        with pytest.raises(RecordError, match=r"inner\.value: a tensor inside a torch"):
            load_record(net, filled)
        with pytest.raises(RecordError, match="value: a tensor inside a torch"):
            Box(value=x, other=torch.ones(1)).save()
        return x.sum()

    x = torch.ones(3)
    ways: dict[str, Callable[[], object]] = {
        "grad": lambda: torch.func.grad(work)(x),
        "vmap": lambda: torch.vmap(work)(torch.ones(2, 3)),
        "jvp": lambda: torch.func.jvp(work, (x,), (x,)),
    }

    ways[transform]()


@pytest.mark.parametrize("value", [3, 1.5, np.ones(2), "text", [torch.ones(1)]])
def test_what_is_no_tensor_among_the_buffers_is_refused_by_name(value: Any) -> None:
    message = (
        rf"inner\.value: found an? {type(value).__name__} among the parameters and"
    )

    with pytest.raises(RecordError, match=message):
        burnish.save_record(Net(value))
    with pytest.raises(RecordError, match=message):
        load_record(Net(value), into_record(Net(torch.ones(1))))
    assert burnish.save_record(Net(value), exclude="inner.value")


def test_a_skipped_field_may_be_anything() -> None:
    @burnish.module(skip=["inner"])
    class Skips(Net):
        pass

    net: Any = Skips(3)

    assert load_record(net, into_record(net)).loaded == ["layer.weight", "layer.bias"]


def pairs() -> dict[str, tuple[Tensor, Tensor, bool]]:
    """Return two tensors, and whether they are one memory seen alike."""
    x, z = torch.arange(6.0), torch.arange(3.0).to(torch.complex64) * (1 + 2j)
    array = np.ones(3, dtype=np.float32)
    freed = [torch.ones(3), torch.ones(3)]
    for tensor in freed:
        tensor.untyped_storage().resize_(0)
    return {
        "the same": (x, x, True),
        "a detached one": (x, x.detach(), True),
        "a view of it": (x.view(2, 3), x.view(2, 3), True),
        "another shape": (x, x.view(2, 3), False),
        "another place": (x[:3], x[3:], False),
        "another stride": (x[::2], x[:3], False),
        "another dtype": (x, x.view(torch.int32), False),
        "expanded": (x[:1].expand(3), x[:1].expand(3), True),
        "a conjugate": (z, z.conj(), False),
        "a negative": (z.conj().imag, z.imag, False),
        "an array twice": (torch.from_numpy(array), torch.from_numpy(array), True),
        "empty ones": (torch.ones(0), torch.ones(0), False),
        "empty views": (x[:0], x[:0], False),
        "on meta": (x.to("meta"), x.to("meta"), False),
        "freed": (freed[0], freed[1], False),
        "equal copies": (x, x.clone(), False),
        "a subclass": (x, x.as_subclass(Named), True),
    }


class Named(Tensor):
    """A tensor with a name of its own."""


@pytest.mark.parametrize("name", pairs())
def test_ties_are_one_memory_seen_alike(name: str) -> None:
    a, b, is_tied = pairs()[name]

    fields = Box(value=a, other=b).entries()
    named = Record.from_state_dict({"a": a, "b": b}).entries()

    assert [len(fields), len(named)] == ([1, 1] if is_tied else [2, 2])


@pytest.mark.parametrize("name", pairs())
def test_ties_of_a_module_are_one_memory_seen_alike(name: str) -> None:
    a, b, is_tied = pairs()[name]
    module = nn.Module()
    module.register_buffer("a", a)
    module.register_buffer("b", b)
    if a.is_meta:
        pytest.skip("a module on meta has no record")

    entries = into_record(module).entries()

    assert [entry.path for entry in entries] == (["a"] if is_tied else ["a", "b"])


def test_conjugates_and_negatives_are_stored_with_their_own_values() -> None:
    z = torch.tensor([1 + 2j, 3 - 4j])
    module = nn.Module()
    for name, value in {"z": z, "c": z.conj(), "n": z.conj().imag, "i": z.imag}.items():
        module.register_buffer(name, value)

    record = burnish.open_record(burnish.save_record(module))

    for name, value in module.named_buffers():
        assert torch.equal(record[name], value.resolve_conj().resolve_neg())


def test_distributed_tensors_are_each_stored_with_their_own_values() -> None:
    def work() -> dict[str, list[float]]:
        with process_group() as distribute:
            a, b = distribute(torch.ones(3)), distribute(torch.full((3,), 2.0))
            fields = Box(value=a, other=b).save()
            named = Record.from_state_dict({"a": a, "b": b, "tie": a}).save()
            net = Net(a)
            net.inner.register_buffer("b", b)
            net.inner.register_buffer("tie", a.detach())
            module = burnish.save_record(net)
            target = Net(distribute(torch.zeros(3)))
            only = burnish.open_record(module, only="inner.value")
            load_record(target, only, strict=False)
            (filled,) = map(values_of, target.buffers(), ["filled"])
        box = Box.load(fields)
        stored, whole = burnish.open_record(named), burnish.open_record(module)
        return {
            "fields": [box.value[0].item(), box.other[0].item()],
            "named": [stored[name][0].item() for name in ("a", "b", "tie")],
            "module": [whole[f"inner.{n}"][0].item() for n in ("value", "b", "tie")],
            "counts": [len(stored.entries()), len(whole.entries())],
            "filled": filled.tolist(),
        }

    assert in_child(work) == {
        "fields": [1.0, 2.0],
        "named": [1.0, 2.0, 1.0],
        "module": [1.0, 2.0, 1.0],
        "counts": [2, 4],
        "filled": [1.0, 1.0, 1.0],
    }


def test_every_state_of_an_optimizer_over_distributed_tensors_is_stored() -> None:
    def step(parameters: list[Tensor], grads: list[Tensor]) -> list[list[float]]:
        module = nn.ParameterList(map(nn.Parameter, parameters))
        optimizer = AdamW().bind(module, lr=0.1, fused=False)
        for parameter, grad in zip(module, grads, strict=True):
            parameter.grad = grad
        optimizer.step()
        record = burnish.open_record(optimizer.save_record())
        return [entry.tensor().tolist() for entry in record.entries()]

    def work() -> list[list[list[float]]]:
        values = [torch.ones(3), torch.ones(3)]
        grads = [torch.ones(3), torch.full((3,), 2.0)]
        with process_group() as distribute:
            return [
                step(list(map(distribute, values)), list(map(distribute, grads))),
                step(values, grads),
            ]

    spread, plain = in_child(work)

    assert spread == plain
    assert len(plain) == 4


def test_a_tensor_in_several_processes_is_refused_unless_each_has_it_whole() -> None:
    def work() -> list[str]:
        with process_group(size=2, backend="fake") as distribute:
            part, whole = distribute(torch.ones(4)), distribute(torch.ones(4), "all")
            return [
                outcome(Record.from_state_dict({"part": part}).save),
                outcome(Record.from_state_dict({"whole": whole}).save),
            ]

    part, whole = in_child(work)

    assert part.startswith("RecordError: part: a DTensor sharded over several")
    assert whole == "returned bytes"


def test_a_transposed_tensor_has_each_element_once_and_a_slice_does_not() -> None:
    assert is_dense(torch.zeros(3, 4).t())
    assert not is_dense(torch.zeros(3, 4)[:, ::2])
    assert not is_dense(torch.zeros(1).expand(3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64])
def test_one_value_has_its_bits_whatever_its_stride(dtype: torch.dtype) -> None:
    one = torch.arange(1, 9).to(dtype)[::8]

    for values in (one, one.expand(1, 1), one[0], one[:0]):
        assert same_bits(values, values.clone())
        assert same_bits(values + 1, values) is (values.numel() == 0)
