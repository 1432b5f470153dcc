"""Who shares memory with whom after a load: nobody with anybody."""

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.config import RenameField
from burnish.core import from_record, into_record, load_record
from burnish.records import FlatRecord, Record
from burnish.records.entries.entries import path_index

SIZE = 512
"""Rows and columns: 1 MiB, from which on a tensor is mapped alone."""


class Net(nn.Module):
    """A large and a small parameter, a tie, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Parameter(torch.ones(SIZE, SIZE))
        self.small = nn.Parameter(torch.ones(3))
        self.tie = self.small
        self.register_buffer("buffer", torch.ones(5))


@burnish.module(version=1, upgrade_rules={0: [RenameField("old", "small")]})
class Renewed(Net):
    """The same, of which there are older records."""


def file_of(folder: Path, suffix: str) -> Path:
    file = folder / f"net.{suffix}"
    if suffix == "pt":
        torch.save(Net().state_dict(), file)
    else:
        burnish.save_record(Net(), file)
    return file


def touched(record: FlatRecord) -> FlatRecord:
    """Return the record, of which somebody has every tensor."""
    record._touched = [entry.tensor() for entry in record.entries()]  # type: ignore[attr-defined]  # held
    return record


def older(folder: Path) -> Any:
    state = Net().state_dict()
    del state["tie"]
    state["old"] = state.pop("small")
    Record.from_state_dict(state).save(folder / "old.mpk")
    return burnish.open_record(folder / "old.mpk")


def opened(file: Path) -> FlatRecord:
    return burnish.open_record(file)


def options(**reading: Any) -> Callable[[Path], Any]:
    return lambda folder: burnish.open_record(file_of(folder, "mpk"), **reading)


CPU = torch.device("cpu")
SOURCES: dict[str, Callable[[Path], Any]] = {
    **{
        f"{kind} {suffix}": make
        for suffix in ("mpk", "mpk.zst", "safetensors", "pt")
        for kind, make in {
            "path of": lambda f, s=suffix: file_of(f, s),
            "opened": lambda f, s=suffix: opened(file_of(f, s)),
            "touched": lambda f, s=suffix: touched(opened(file_of(f, s))),
            "on a device": lambda f, s=suffix: burnish.open_record(
                file_of(f, s), device="cpu"
            ),
        }.items()
    },
    "opened json": lambda folder: opened(file_of(folder, "json")),
    "mapped": options(mmap=True),
    "read": options(mmap=False),
    "of the same dtype": options(dtype=torch.float32, device=CPU),
    "of another dtype": options(dtype=torch.float64),
    "as stored": options(dtype="stored", device=CPU),
    "selected": options(only="**"),
    "renamed": options(rename={"buffer": "buffer"}),
    "touched, then on a device": lambda folder: burnish.open_record(
        touched(opened(file_of(folder, "mpk"))), device=CPU
    ),
    "touched, then renamed": lambda folder: burnish.open_record(
        touched(opened(file_of(folder, "mpk"))), rename={"buffer": "buffer"}
    ),
    "a clone": lambda folder: opened(file_of(folder, "mpk")).clone(),
    "loaded": lambda folder: loaded(opened(file_of(folder, "mpk"))),
    "bytes": lambda folder: burnish.save_record(Net()),
    "opened bytes": lambda folder: burnish.open_record(burnish.save_record(Net())),
    "opened stream": lambda folder: burnish.open_record(
        io.BytesIO(burnish.save_record(Net()))
    ),
    "live": lambda folder: into_record(Net()),
    "live on a device": lambda folder: burnish.open_record(
        into_record(Net()), device=CPU
    ),
    "live of a dtype": lambda folder: burnish.open_record(
        into_record(Net()), dtype=torch.float32
    ),
    "a state dict": lambda folder: Record.from_state_dict(Net().state_dict()),
}


def loaded(record: FlatRecord) -> FlatRecord:
    record.load_all()
    return record


def from_file(source: Any) -> nn.Module:
    return from_record(Net, source)


def into_living(source: Any) -> nn.Module:
    module = Net()
    load_record(module, source)
    return module


def built_and_converted(source: Any) -> nn.Module:
    return from_record(Net, burnish.open_record(source, device="cpu"))


VERBS: dict[str, Callable[[Any], nn.Module]] = {
    "from_record": from_file,
    "load_record": into_living,
    "from_record on a device": built_and_converted,
}


def tensors_of(holder: Any) -> Iterator[Tensor]:
    """Return every tensor that a module, or a record as it stands, refers to."""
    if isinstance(holder, nn.Module):
        yield from (*holder.parameters(), *holder.buffers())
    elif isinstance(holder, Record):
        for entry in holder.entries():
            if isinstance(entry.source, Tensor):
                yield entry.source


def assert_nothing_is_shared(holders: list[Any]) -> None:
    """Change the tensors of each holder, and look at those of all others."""
    groups = [list(tensors_of(holder)) for holder in holders]
    values = [[tensor.detach().clone() for tensor in group] for group in groups]
    for i, group in enumerate(groups):
        with torch.no_grad():
            for tensor in group:
                tensor.fill_(9 + i)
        for j, (others, before) in enumerate(zip(groups, values, strict=True)):
            if i != j:
                assert all(map(torch.equal, others, before)), (i, j)
        values[i] = [tensor.detach().clone() for tensor in group]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("source", SOURCES)
def test_modules_of_one_source_share_nothing(
    tmp_path: Path, source: str, verb: str
) -> None:
    origin, load = SOURCES[source](tmp_path), VERBS[verb]

    modules = [load(origin) for _ in range(2)]

    assert all(module.tie is module.small for module in modules)
    assert all(
        float(p.detach().sum()) == p.numel() for m in modules for p in m.parameters()
    )
    assert_nothing_is_shared([origin, *modules])


@pytest.mark.parametrize("source", SOURCES)
def test_modules_that_threads_load_at_once_share_nothing(
    tmp_path: Path, source: str
) -> None:
    origin = SOURCES[source](tmp_path)
    together = threading.Barrier(4)

    def load(_: int) -> nn.Module:
        together.wait()
        return from_record(Net, origin)

    with ThreadPoolExecutor(4) as pool:
        modules = list(pool.map(load, range(4)))

    assert all(
        float(p.detach().sum()) == p.numel() for m in modules for p in m.parameters()
    )
    assert_nothing_is_shared([origin, *modules])


def test_modules_of_one_older_record_share_nothing(tmp_path: Path) -> None:
    record = older(tmp_path)

    modules = [from_record(Renewed, record) for _ in range(2)]

    assert_nothing_is_shared([record, *modules])


def test_threads_that_touch_one_tensor_at_once_get_the_same(tmp_path: Path) -> None:
    record = opened(file_of(tmp_path, "mpk"))
    together = threading.Barrier(8)

    def touch(_: int) -> Tensor:
        together.wait()
        tensor: Tensor = record["small"]
        return tensor

    with ThreadPoolExecutor(8) as pool:
        tensors = list(pool.map(touch, range(8)))

    assert all(tensor is tensors[0] for tensor in tensors)


def test_threads_read_one_stream_without_mixing_it_up(tmp_path: Path) -> None:
    tensors = {str(i): torch.full((1 << 16,), i) for i in range(32)}
    Record.from_state_dict(tensors).save(tmp_path / "x.safetensors")
    with (tmp_path / "x.safetensors").open("rb") as stream:
        record = burnish.open_record(stream, verify=False)

        def read(number: int) -> bool:
            entry = record.entries()[number]
            return torch.equal(entry.read(), tensors[entry.path])

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(read, [*range(32)] * 4))


def test_optimizers_of_one_record_share_nothing(tmp_path: Path) -> None:
    def stepped() -> tuple[nn.Module, Any]:
        module = nn.Linear(4, 4)
        optim = burnish.optim.Adam().bind(module, lr=0.1)
        module(torch.ones(1, 4)).sum().backward()
        optim.step()
        return module, optim

    module, optim = stepped()
    data = burnish.save_record(module)
    optim.save_record(tmp_path / "optim.mpk")
    record = burnish.open_record(tmp_path / "optim.mpk")
    live = optim.into_record()
    others: list[Any] = []
    for source in (record, record, tmp_path / "optim.mpk", live, live):
        other = from_record(lambda: nn.Linear(4, 4), data)
        others.append(burnish.optim.Adam().bind(other, lr=0.1))
        others[-1].load_record(source)

    def states(optimizer: Any) -> list[Tensor]:
        return [
            value
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, Tensor)
        ]

    groups = [states(optimizer) for optimizer in (optim, *others)]
    before = [[t.clone() for t in group] for group in groups]
    for i, group in enumerate(groups):
        for tensor in group:
            tensor.fill_(9 + i)
        for j, (tensors, values) in enumerate(zip(groups, before, strict=True)):
            assert i == j or all(map(torch.equal, tensors, values)), (i, j)
        before[i] = [t.clone() for t in group]


def test_one_layer_at_many_paths_and_many_views_at_one_address_are_told_apart() -> None:
    class Windows(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            memory = torch.zeros(n)
            for i in range(1, n):
                self.register_buffer(f"to{i}", memory[:i])
            self.register_buffer("again", memory[:3])

    # Comparing each with each would take minutes.
    shared = nn.ModuleList([nn.Linear(1, 1)] * 20_000)
    record = burnish.open_record(burnish.save_record(shared))
    windows = burnish.open_record(burnish.save_record(Windows(3_000)))

    assert [len(entry.ties) for entry in record.entries()] == [19_999, 19_999]
    assert len(windows.entries()) == 2_999
    assert path_index(windows)["again"] is path_index(windows)["to3"]
    assert not burnish.load_record(shared, record).unexpected
