"""Every message of docs/faq.md is one that the library makes."""

import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.config import Hparams, dump, load
from burnish.config.schema import assert_compatible, dump_schema
from burnish.optim import AdamW, Group, OptimizerAdaptor
from burnish.optim.engines.codegen import compiler
from burnish.optim.schedulers import Cosine
from burnish.train import Checkpoints

PAGE = Path(__file__).parents[2] / "docs/faq.md"
ROWS = [
    line.split(" | ")[0]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| `")
]


class Net(burnish.Module, name="faq/net"):
    def __init__(self, width: int = 8, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Linear(4, width)
        self.dropout = nn.Dropout(dropout)


@dataclass
class Pair:
    values: Any = (1, 2)


class Config(Hparams):
    steps: int = 1


class Longer(Hparams):
    n_steps: int


def plain(**layers: nn.Module) -> nn.Module:
    return nn.ModuleDict({"body": nn.Linear(4, 8), **layers})


def saved(change: Callable[[bytes], bytes] = bytes) -> Path:
    Path("net.mpk").write_bytes(change(bytes(Net().save_record())))
    return Path("net.mpk")


def flipped(data: bytes) -> bytes:
    return data[:-60] + bytes([data[-60] ^ 1]) + data[-59:]


def bound(net: nn.Module, gradient: float = 1.0, **options: Any) -> OptimizerAdaptor:
    optim = AdamW().bind(net, lr=0.1, **options)
    for param in net.parameters():
        param.grad = torch.full_like(param, gradient)
    return optim


def save_an_optimizer_of_torch() -> None:
    theirs: Any = torch.optim.AdamW(Net().parameters())
    burnish.save_record(theirs)


def give_torch_a_record() -> None:
    record: Any = burnish.open_record(saved())
    Net().load_state_dict(record)


def save_by_a_method_that_plain_modules_lack() -> None:
    module: Any = nn.Linear(1, 1)
    module.save_record("net.mpk")


def build_by_a_class_with_arguments() -> None:
    build: Any = nn.Linear
    burnish.from_record(build, saved())


def open_with_an_old_torch() -> None:
    torch.save({"weight": torch.ones(1)}, "net.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "__version__", "2.9.1")
        burnish.open_record("net.pt")


def step_without_a_compiler() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "_compiler", lambda: None)
        patch.setattr("burnish.optim.engines.compiled._warned", set())
        patch.setattr("burnish.optim.engines.compiled._programs", {})
        bound(Net(), fused=True).step()


def step_a_replaced_layer() -> None:
    net = Net()
    optim = bound(net)
    net.body = nn.Linear(4, 8)
    optim.step()


def restore_another_schedule() -> None:
    net = Net()
    Checkpoints("run").save(1, optim=AdamW().bind(net, lr=Cosine(0.1, 9)))
    Checkpoints("run").restore(optim=AdamW().bind(net, lr=0.1))


def load_a_state_of_other_shapes() -> None:
    optim = bound(Net())
    optim.step()
    optim.save_record("optim.mpk")
    bound(Net(9)).load_record("optim.mpk")


def restore_a_part_of_another_step() -> None:
    run, net = Checkpoints("run"), Net()
    first, second = run.save(1, model=net), run.save(2, model=Net())
    shutil.copy(first.file("model"), second.file("model"))
    run.restore(model=net)


def restore_a_part() -> None:
    run = Checkpoints("run", only="body.bias")
    run.save(1, model=Net())
    run.restore(model=Net())


def check_a_renamed_field() -> None:
    dump_schema(Config, "schema.ron")
    assert_compatible("schema.ron", Longer)


MADE_BY: dict[str, Callable[[], object]] = {
    "found nothing": lambda: burnish.load_record(plain(tail=nn.Linear(1, 1)), saved()),
    "expected nothing": lambda: burnish.load_record(
        plain(), burnish.save_record(plain(tail=nn.Linear(1, 1)))
    ),
    "found shape": lambda: burnish.load_record(plain(body=nn.Linear(4, 9)), saved()),
    "nothing matches": lambda: burnish.load_record(
        nn.Linear(1, 1), saved(), strict=False
    ),
    "stored": lambda: Net(dropout=0.5).load_record(saved()),
    "RecordChecksumError": lambda: Net().load_record(saved(flipped)),
    "The file is truncated": lambda: Net().load_record(saved(lambda d: d[:-9])),
    "expected a record": lambda: burnish.open_record(saved(lambda _: b"lr: 0.1\n" * 9)),
    "RecordVersionError": lambda: Net().load_record(
        saved(lambda d: d.replace(b"\xa7burnish\x01", b"\xa7burnish\x09"))
    ),
    "UnknownClassError": lambda: burnish.from_hyperparameters(
        {"__module__": "gone", "__name__": "Net", "width": 8}
    ),
    "its SHA-256 is": lambda: burnish.open_record(saved(), sha256="0" * 64),
    "is vulnerable to hostile files": open_with_an_old_torch,
    "pass a function without arguments": build_by_a_class_with_arguments,
    "Expected state_dict to be dict-like": give_torch_a_record,
    "PrecisionError": lambda: burnish.save_record(
        {"w": torch.tensor([1e6])}, precision="half"
    ),
    "has no attribute 'save_record'": save_by_a_method_that_plain_modules_lack,
    "is not plain data": lambda: burnish.save_record({"a": object()}, "a.mpk"),
    "the suffix must be that of a format": lambda: Net().save_record("net.weights"),
    "the name says": lambda: Net().save_record("net.mpk", recorder="debug"),
    "on the meta device, which has no values": lambda: burnish.save_record(
        nn.Linear(1, 1, device="meta")
    ),
    "cannot be stored. Store tensor.to_dense()": lambda: burnish.save_record(
        {"a": torch.eye(2).to_sparse()}
    ),
    "does not exist; create it first": lambda: Net().save_record("none/net.mpk"),
    "fused=True falls back to the default engine": step_without_a_compiler,
    "before it is bound to a module": lambda: getattr(AdamW(), "zero_grad"),  # noqa: B009  # a type checker knows
    "lr was": restore_another_schedule,
    "matches no parameter": lambda: AdamW().bind(
        Net(), lr=0.1, groups=[Group("heat.**")]
    ),
    "replaced in the module": step_a_replaced_layer,
    "the parameter needs": load_a_state_of_other_shapes,
    "are not finite": lambda: bound(Net(), float("nan"), nonfinite="error").step(),
    "for any other, store the state dict": save_an_optimizer_of_torch,
    "found the record of a module": lambda: bound(Net()).load_record(saved()),
    "that was not saved with step": restore_a_part_of_another_step,
    "are unchanged": restore_a_part,
    "has no checkpoint": lambda: Checkpoints("run").restore(5, model=Net()),
    "unknown field for": lambda: load(Config, None, ["stpes=5"]),
    "would be read as": lambda: dump(Pair(), "pair.json"),
    "Schema incompatible": check_a_renamed_field,
}
"""By the first words of a row: what makes its message."""


def test_each_row_of_the_page_is_tried() -> None:
    assert [words(row)[0] for row in ROWS] == [*MADE_BY]


@pytest.mark.parametrize("row", ROWS)
def test_the_message_is_made(
    row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    message = said_by(MADE_BY[words(row)[0]])

    for part in words(row):
        assert part in message


def words(row: str) -> list[str]:
    return re.findall(r"`([^`]+)`", row)


def said_by(action: Callable[[], object]) -> str:
    """Return the error or the warning of ``action``, its type before it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            action()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return ""
