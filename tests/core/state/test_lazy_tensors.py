from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.records import RecordError, RecordMismatchError

from ...formats_of_records import SUFFIXES


@burnish.module
class Lazy(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.lin = nn.LazyLinear(width)
        self.norm = nn.LazyBatchNorm1d()
        self.conv = nn.LazyConv1d(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.lin(x)).sum() + self.conv(x[:, :, None]).sum()
        return result


X = torch.arange(10.0).view(2, 5)


def used(width: int = 3) -> Lazy:
    module = Lazy(width)
    module(X)
    return module.eval()


@pytest.mark.parametrize("suffix", [*SUFFIXES, "pt"])
def test_a_lazy_module_takes_its_shapes_from_the_record_as_torch_lets_it(
    suffix: str, tmp_path: Path
) -> None:
    file, module, living = tmp_path / f"m.{suffix}", used(), Lazy()
    if suffix == "pt":
        torch.save(module.state_dict(), file)
    else:
        burnish.save_record(module, file)

    burnish.load_record(living, file)
    results: list[Any] = [living, burnish.from_record(Lazy, file)]
    by_torch: Any = Lazy()
    by_torch.load_state_dict(module.state_dict())
    by_torch.eval()(X)

    for result in results:
        assert torch.equal(result.eval()(X), module(X))
        assert type(result.lin) is nn.Linear
        assert repr(result) == repr(by_torch)
        for name, tensor in result.state_dict().items():
            assert torch.equal(tensor, module.state_dict()[name])


def test_a_lazy_module_is_saved_again_before_it_was_called(tmp_path: Path) -> None:
    file, again = tmp_path / "m.mpk", tmp_path / "again.mpk"
    module: Any = used()
    module.save_record(file)

    built: Any = type(module).from_record(file)
    built.save_record(again)
    built = type(module).from_record(again)
    module.save_pretrained(tmp_path / "folder")
    other: Any = burnish.from_pretrained(tmp_path / "folder", Lazy)

    assert torch.equal(built.eval()(X), module(X))
    assert torch.equal(other.eval()(X), module(X))


@pytest.mark.parametrize(
    ("width", "exclude", "kind", "words"),
    [
        (3, "norm.weight", RecordError, r"norm\.weight: a lazy tensor"),
        (4, None, RecordMismatchError, r"width: stored 3, the module has 4"),
    ],
)
def test_a_module_that_is_refused_stays_lazy(
    width: int, exclude: str | None, kind: type[RecordError], words: str
) -> None:
    record = burnish.open_record(burnish.save_record(used(), exclude=exclude))
    module = Lazy(width)

    with pytest.raises(kind, match=words):
        burnish.load_record(module, record)

    tensors: list[Any] = [*module.parameters(), module.norm.running_mean]
    assert all(nn.parameter.is_lazy(tensor) for tensor in tensors)
    module(X[:, :4])
    assert module.lin.in_features == 4
