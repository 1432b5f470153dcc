"""Records in a storage: how many requests they take, how many bytes, and of what."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.records import (
    Record,
    RecordChecksumError,
    Recorder,
    RecordFormatError,
    open_record,
)
from burnish.records.io.remote.address import address_of
from burnish.records.io.remote.remote_source import HEAD, PAGE, RemoteSource
from burnish.records.io.remote.runs import GAP
from burnish.records.io.remote.stored_object import StoredObject

pytest.importorskip("fsspec")
from ...object_storage import CountingStorage

MIB = 1 << 20


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(*(nn.Linear(256, 256) for _ in range(24)))


def layer(module: nn.Module, number: int) -> nn.Linear:
    found = module.get_submodule(str(number))
    assert isinstance(found, nn.Linear)
    return found


def stored(module: nn.Module, name: str = "net.mpk", **options: Any) -> str:
    return CountingStorage.put(name, burnish.save_record(module, **options))


def test_opening_a_record_takes_its_head_and_its_sums() -> None:
    url = stored(net())

    record = open_record(url)

    assert len(record) == 48
    assert len(CountingStorage.fetched) == 2
    assert CountingStorage.n_fetched() == HEAD + PAGE
    assert len(CountingStorage.asked) == 2


def test_a_tensor_is_one_request_of_its_own_bytes() -> None:
    module = net()
    record = open_record(stored(module))
    CountingStorage.forget()

    bias = record["5.bias"]

    assert torch.equal(bias, layer(module, 5).bias)
    assert len(CountingStorage.fetched) == 1
    assert CountingStorage.n_fetched() == bias.nbytes
    assert not CountingStorage.asked


def test_a_small_object_is_one_request() -> None:
    module = nn.Linear(3, 2)
    url = stored(module)

    weights = burnish.open_record(url).to_state_dict()

    assert torch.equal(weights["weight"], module.weight)
    assert CountingStorage.fetched == [(0, len(CountingStorage.objects["net.mpk"]))]


@pytest.mark.parametrize("name", ["net.mpk", "net.mpk.zst", "net.safetensors"])
def test_a_load_of_many_tensors_takes_few_requests_and_no_byte_twice(name: str) -> None:
    module, target = net(), net(1)
    recorder = {
        "net.mpk": Recorder(),
        "net.mpk.zst": Recorder(compression="zst"),
        "net.safetensors": Recorder("safetensors"),
    }[name]
    url = stored(module, name, recorder=recorder)
    size = len(CountingStorage.objects[name])

    report = burnish.load_record(target, url)

    assert report.verified == "all"
    assert all(
        torch.equal(a, b)
        for a, b in zip(module.parameters(), target.parameters(), strict=True)
    )
    assert len(CountingStorage.fetched) <= 4
    assert CountingStorage.n_fetched() <= size + HEAD + PAGE + GAP


@pytest.mark.parametrize("suffix", [".json", ".json.gz", ".mpk.gz"])
def test_what_is_read_to_its_end_is_fetched_whole(suffix: str, tmp_path: Path) -> None:
    module, target = net(), net(1)
    file = tmp_path / f"net{suffix}"
    burnish.save_record(module, file)
    url = CountingStorage.put(file.name, file.read_bytes())

    burnish.load_record(target, url)

    assert torch.equal(layer(target, 23).weight, layer(module, 23).weight)
    assert len(CountingStorage.fetched) <= 3


def test_from_record_and_state_dicts_are_read_in_few_requests() -> None:
    module = net()
    url = stored(module)

    built = burnish.from_record(net, url)
    n_built = len(CountingStorage.fetched)
    CountingStorage.forget()
    weights = burnish.open_record(url).to_state_dict()

    assert torch.equal(layer(built, 7).weight, layer(module, 7).weight)
    assert torch.equal(weights["7.weight"], layer(module, 7).weight)
    assert n_built == 3
    assert len(CountingStorage.fetched) == 3


def test_a_few_chosen_tensors_are_not_fetched_with_all_that_lies_between() -> None:
    url = stored(net())
    record = open_record(url, only=["2.bias", "20.bias"])
    CountingStorage.forget()

    biases = record.to_state_dict()

    assert [*biases] == ["2.bias", "20.bias"]
    assert len(CountingStorage.fetched) == 2
    assert CountingStorage.n_fetched() < 4096


def test_a_tensor_of_many_mebibytes_comes_in_requests_of_16() -> None:
    large = torch.arange(10 * MIB, dtype=torch.float32)
    url = CountingStorage.put("a.mpk", Record.from_state_dict({"a": large}).save())
    record = open_record(url)
    CountingStorage.forget()

    assert torch.equal(record["a"], large)

    assert [end - start for start, end in CountingStorage.fetched] == [
        16 * MIB,
        16 * MIB,
        8 * MIB,
    ]


def test_verifying_an_object_reads_it_once_and_finds_every_damaged_byte() -> None:
    module = nn.Sequential(*(nn.Linear(9, 7) for _ in range(4)), nn.Linear(300, 300))
    url = stored(module)
    data = CountingStorage.objects["net.mpk"]

    assert burnish.verify_file(url).verified == "all"

    assert CountingStorage.n_fetched() <= len(data) + HEAD + PAGE
    for at in range(7, len(data), 997):
        CountingStorage.put(
            "net.mpk", data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]
        )
        with pytest.raises(burnish.records.RecordError):
            burnish.verify_file(url)


def test_damage_between_the_payloads_of_a_load_is_found_without_a_request() -> None:
    module = net()
    url = stored(module)
    data = bytearray(CountingStorage.objects["net.mpk"])
    # The frame before a payload in the middle: its pad, and its length.
    at = data.index(layer(module, 12).weight.detach().numpy().tobytes()) - 9
    data[at] ^= 1
    CountingStorage.put("net.mpk", bytes(data))

    with pytest.raises(RecordFormatError, match="damage before payload 24"):
        burnish.load_record(net(1), url)

    assert len(CountingStorage.fetched) == 3


def test_an_object_that_was_replaced_is_said_to_be() -> None:
    url = stored(net())
    record, target = open_record(url), net(2)
    before = [p.detach().clone() for p in target.parameters()]
    stored(net(1))

    with pytest.raises(RecordFormatError, match=r"counting://net\.mpk.*was replaced"):
        _ = record["3.weight"]
    with pytest.raises(RecordFormatError, match=r"was replaced.*Open it again"):
        burnish.load_record(target, record)

    assert all(
        torch.equal(a, b) for a, b in zip(before, target.parameters(), strict=True)
    )


def test_what_an_object_has_as_it_was_when_it_was_replaced_is_still_right() -> None:
    module = net()
    record = open_record(stored(module))
    with torch.no_grad():
        layer(module, 5).bias.add_(1)
    stored(module)

    assert torch.equal(record["4.bias"], layer(module, 4).bias)
    with pytest.raises(RecordFormatError, match="was replaced"):
        _ = record["5.bias"]


@pytest.mark.parametrize("verify", [False, True])
def test_content_without_checksums_is_asked_for_at_every_request(verify: bool) -> None:
    from safetensors.torch import save

    data = save({"a": torch.ones(MIB), "b": torch.ones(MIB)})
    record = open_record(CountingStorage.put("a.safetensors", data), verify=verify)
    assert torch.equal(record["a"], torch.ones(MIB))
    CountingStorage.put("a.safetensors", save({"a": torch.ones(1), "b": torch.ones(1)}))

    with pytest.raises(RecordFormatError, match="was replaced"):
        _ = record["b"]


def test_records_that_nobody_verifies_are_asked_for_as_well() -> None:
    record = open_record(stored(net()), verify=False)
    stored(net(1))

    with pytest.raises(RecordFormatError, match="was replaced"):
        _ = record["3.weight"]


def test_an_object_that_is_damaged_and_not_replaced_is_said_to_be() -> None:
    module = net()
    data = bytearray(burnish.save_record(module))
    data[data.index(layer(module, 12).weight.detach().numpy().tobytes()) + 5] ^= 1
    record = open_record(CountingStorage.put("net.mpk", bytes(data)))

    with pytest.raises(RecordChecksumError, match=r"12\.weight"):
        _ = record["12.weight"]


def test_an_object_that_is_gone_is_said_to_be() -> None:
    url = stored(net())
    record = open_record(url)
    del CountingStorage.objects["net.mpk"]

    with pytest.raises(RecordFormatError, match="the object no longer exists"):
        _ = record["3.weight"]
    with pytest.raises(FileNotFoundError, match=r"net\.mpk"):
        open_record(url)


def test_two_loads_share_no_memory() -> None:
    record = open_record(stored(net()))

    first, second = (burnish.from_record(net, record) for _ in range(2))
    with torch.no_grad():
        layer(first, 3).weight.add_(1)

    assert not torch.equal(layer(first, 3).weight, layer(second, 3).weight)
    assert torch.equal(record["3.weight"], layer(second, 3).weight)


def test_the_same_tensor_may_be_read_twice() -> None:
    url = stored(net())
    source = RemoteSource(StoredObject(address_of(url)), verify=True)
    place = (200_000, 4096)
    source.expect([place, (250_000, 4096)])

    first, second = source.view(*place), source.view(*place)
    first[:] = bytes(4096)

    assert bytes(second) == CountingStorage.objects["net.mpk"][200_000:204_096]


def test_a_closed_record_reads_no_more_and_an_open_one_is_not_pickled() -> None:
    url = stored(net())
    copy = pickle.loads(pickle.dumps(open_record(url)))
    with open_record(url) as record:
        source = RemoteSource(StoredObject(address_of(url)), verify=True)
        with pytest.raises(TypeError, match="open the URL again"):
            pickle.dumps(source)

    with pytest.raises(ValueError, match=r"counting://net\.mpk is closed"):
        _ = record["3.weight"]
    assert torch.equal(copy["3.weight"], layer(net(), 3).weight)


def test_linked_files_are_found_beside_an_index(tmp_path: Path) -> None:
    fsspec: Any = pytest.importorskip("fsspec")
    module = net()
    checkpoints = burnish.Checkpoints(tmp_path, unchanged="link")
    checkpoints.save(1, model=module)
    with torch.no_grad():
        layer(module, 2).bias.add_(1)
    folder = checkpoints.save(2, model=module).folder
    memory = fsspec.filesystem("memory")
    for file in Path(folder).iterdir():
        memory.pipe_file(f"/run/2/{file.name}", file.read_bytes())

    loaded = net(1)
    burnish.load_record(loaded, "memory://run/2/model.mpk")

    assert torch.equal(layer(loaded, 2).bias, layer(module, 2).bias)
    assert torch.equal(layer(loaded, 3).bias, layer(module, 3).bias)
    names = memory.ls("/run/2", detail=False)
    memory.rm(next(p for p in names if "model." in p and not p.endswith("model.mpk")))
    with pytest.raises(RecordFormatError, match="not beside it"):
        open_record("memory://run/2/model.mpk")
