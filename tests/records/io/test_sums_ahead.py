"""Sums that helpers compute while a module is built: the same errors, no threads."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import xxhash
from torch import nn

import burnish
from burnish.records import Record, RecordChecksumError
from burnish.records.io.source import ClosedFileError
from burnish.records.io.sums_ahead import SumsAhead

pytestmark = pytest.mark.usefixtures("two_threads")


class Net(nn.Module):
    """Two layers of 8 MiB, and what a test wants to happen in between."""

    def __init__(self, between: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.first = nn.Linear(1024, 2048)
        between()
        self.last = nn.Linear(2048, 1024)


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def file(tmp_path: Path, net: Net) -> Path:
    burnish.save_record(net, tmp_path / "net.mpk")
    return tmp_path / "net.mpk"


def are_equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def damage(file: Path, tensor: torch.Tensor) -> None:
    content = file.read_bytes()
    at = content.index(tensor.detach().numpy().tobytes()[:64])
    file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


def hashers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of the threads that hash ahead, from now on."""
    names: set[str] = set()
    hash_job: Any = SumsAhead._hash  # pyright: ignore[reportPrivateUsage]

    def noted(ahead: SumsAhead, job: Any) -> None:
        names.add(threading.current_thread().name)
        hash_job(ahead, job)

    monkeypatch.setattr(SumsAhead, "_hash", noted)
    return names


def test_a_helper_hashes_while_the_constructor_runs(
    file: Path, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = threading.Event()
    hash_job: Any = SumsAhead._hash  # pyright: ignore[reportPrivateUsage]

    def noted(ahead: SumsAhead, job: Any) -> None:
        hash_job(ahead, job)
        hashed.set()

    monkeypatch.setattr(SumsAhead, "_hash", noted)
    in_time: list[bool] = []

    loaded = burnish.from_record(
        lambda: Net(lambda: in_time.append(hashed.wait(60))), file
    )

    assert in_time[0]
    assert are_equal(loaded, net)


@pytest.mark.parametrize("name", ["first", "last"])
def test_damage_is_raised_with_its_name_and_nothing_changed(
    file: Path, net: Net, name: str
) -> None:
    damage(file, net.get_parameter(f"{name}.weight"))
    target = Net()
    before = [p.clone() for p in target.parameters()]

    with pytest.raises(RecordChecksumError, match=f"{name}.weight"):
        burnish.from_record(Net, file)
    with pytest.raises(RecordChecksumError, match=f"{name}.weight"):
        burnish.load_record(target, file)

    after = target.parameters()
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_a_load_into_a_module_is_hashed_by_two_threads(file: Path, net: Net) -> None:
    target = Net()

    burnish.load_record(target, file)

    assert are_equal(target, net)


def test_one_thread_of_torch_hashes_alone(
    file: Path, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = hashers(monkeypatch)
    torch.set_num_threads(1)

    loaded = burnish.from_record(Net, file)

    assert are_equal(loaded, net)
    assert names == set()


def test_unverified_files_are_not_hashed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = hashers(monkeypatch)

    with burnish.open_record(file, verify=False) as record:
        burnish.from_record(Net, record)

    assert names == set()


def test_an_error_of_the_constructor_ends_the_helpers(file: Path) -> None:
    def fail() -> None:
        raise RuntimeError("of the constructor")

    with pytest.raises(RuntimeError, match="of the constructor"):
        burnish.from_record(lambda: Net(fail), file)


def test_ctrl_c_in_the_constructor_ends_the_helpers(file: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        burnish.from_record(lambda: Net(interrupt), file)


def test_a_file_that_is_deleted_or_closed_meanwhile_is_loaded(
    file: Path, net: Net
) -> None:
    record = burnish.open_record(file)

    def lose() -> None:
        file.unlink(missing_ok=True)
        record.close()

    loaded = burnish.from_record(lambda: Net(lose), record)

    assert are_equal(loaded, net)


def test_a_closed_record_is_an_error(file: Path) -> None:
    record = burnish.open_record(file)
    record.close()

    with pytest.raises(ClosedFileError):
        burnish.from_record(Net, record)


def test_a_child_that_the_constructor_forks_hashes_by_itself(
    file: Path, net: Net
) -> None:
    children: list[int] = []

    def fork() -> None:
        children.append(os.fork())
        if not children[0]:
            # Torch's own threads are not there either.
            torch.set_num_threads(1)

    loaded = burnish.from_record(lambda: Net(fork), file)
    if not children[0]:
        os._exit(0 if are_equal(loaded, net) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0


def test_what_no_helper_finishes_is_hashed_by_the_load(
    file: Path, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert are_equal(burnish.from_record(Net, file), net)


def test_the_sums_are_those_of_the_payloads(tmp_path: Path) -> None:
    tensors = {f"t{i}": torch.randn(300_000) for i in range(12)}
    Record.from_state_dict(tensors).save(tmp_path / "r.mpk")
    from burnish.records.io.source import Maps

    with burnish.open_record(tmp_path / "r.mpk") as record:
        maps = Maps()
        ahead = SumsAhead(maps)
        ahead.begin(entry.source for entry in record.entries())
        digests = [
            ahead.digest(entry.source, memoryview(t.numpy()).cast("B"))  # type: ignore[arg-type]
            for entry, t in zip(record.entries(), tensors.values(), strict=True)
        ]
        ahead.end()

    assert digests == [
        xxhash.xxh3_64_digest(t.numpy().tobytes()) for t in tensors.values()
    ]
