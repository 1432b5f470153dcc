"""Records of modules on a GPU: saved from it, and loaded straight to it."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

import burnish

pytestmark = pytest.mark.cuda

SUFFIXES = [".mpk", ".mpk.zst", ".safetensors", ".json"]


class Mixed(nn.Module):
    """Values of every way that a save takes: long, short, strided, of other dtypes."""

    def __init__(self) -> None:
        super().__init__()
        self.long = nn.Parameter(torch.randn(700, 1100))
        self.short = nn.Parameter(torch.randn(3))
        self.strided = nn.Parameter(torch.randn(600, 900).t())
        self.register_buffer("mask", torch.rand(2_000_000) < 0.5)
        self.register_buffer("bf16", torch.randn(300, 700).to(torch.bfloat16))


def values(net: nn.Module) -> dict[str, Tensor]:
    return {path: tensor.cpu() for path, tensor in net.state_dict().items()}


def check_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [path for path in left if not torch.equal(left[path], right[path])] == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("precision", [None, "half"])
@pytest.mark.parametrize("wait", [True, False])
def test_a_save_off_the_device_is_the_file_of_main_memory(
    tmp_path: Path, suffix: str, precision: Literal["half"] | None, wait: bool
) -> None:
    net = Mixed()
    save: Any = burnish.save_record
    save(net, tmp_path / f"cpu{suffix}", precision=precision)

    net.cuda()
    handle = save(net, tmp_path / f"gpu{suffix}", precision=precision, wait=wait)
    if not wait:
        handle.wait()

    files = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("cpu", "gpu")]
    assert files[0] == files[1]


def test_a_save_waits_for_what_the_device_is_asked_to_compute(tmp_path: Path) -> None:
    data = torch.zeros(4_000_000, device="cuda")
    for _ in range(200):
        data += 1

    burnish.save_record({"x": data}, tmp_path / "x.mpk")

    assert burnish.open_record(tmp_path / "x.mpk")["x"].eq(200).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_load_fills_the_memory_on_the_device(tmp_path: Path, suffix: str) -> None:
    source, net = Mixed(), Mixed().cuda()
    burnish.save_record(source, tmp_path / f"net{suffix}")
    address = net.long.data_ptr()

    burnish.load_record(net, tmp_path / f"net{suffix}")

    assert net.long.data_ptr() == address
    check_equal(values(net), values(source))


def test_a_module_is_built_on_the_device(tmp_path: Path) -> None:
    source = Mixed()
    burnish.save_record(source, tmp_path / "net.mpk")

    with burnish.open_record(tmp_path / "net.mpk", device="cuda") as record:
        net = burnish.from_record(Mixed, record)

    assert all(tensor.is_cuda for tensor in net.state_dict().values())
    check_equal(values(net), values(source))
