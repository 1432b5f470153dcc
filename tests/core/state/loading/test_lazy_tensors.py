import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.records import RecordError, RecordMismatchError

from ....formats_of_records import SUFFIXES


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


class OwnLinear(nn.Module):
    """A lazy layer as libraries of graph networks have it: torch does not know it."""

    def __init__(self, width: int = 3, n_inputs: int = -1) -> None:
        super().__init__()
        self.width, self.n_inputs = width, n_inputs
        self.bias = nn.Parameter(torch.zeros(width))
        self.weight: Any = nn.UninitializedParameter()
        self._hook = self.register_forward_pre_hook(self.find_shape)

    def find_shape(self, _: nn.Module, arguments: tuple[Tensor]) -> None:
        self.set_shape(arguments[0].shape[-1])
        with torch.no_grad():
            self.weight.normal_()

    def set_shape(self, n_inputs: int) -> None:
        self.n_inputs = n_inputs
        self.weight.materialize((self.width, n_inputs))
        self._hook.remove()
        del self._hook

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        self.take_shape(state_dict.get(f"{prefix}weight"))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def take_shape(self, weight: Tensor | None) -> None:
        if weight is not None and nn.parameter.is_lazy(self.weight):
            self.set_shape(weight.shape[-1])

    def __deepcopy__(self, memo: dict[int, Any]) -> "OwnLinear":
        result = OwnLinear(self.width)
        if self.n_inputs != -1:
            result.set_shape(self.n_inputs)
            result.load_state_dict(self.state_dict())
        return result

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


class BareLinear(OwnLinear):
    """One whose class does nothing when it is loaded."""

    def take_shape(self, weight: Tensor | None) -> None:
        pass

    def find_shape(self, _: nn.Module, arguments: tuple[Tensor]) -> None:
        if nn.parameter.is_lazy(self.weight):
            super().find_shape(_, arguments)


@pytest.mark.parametrize("suffix", [*SUFFIXES, "pt"])
def test_a_lazy_layer_that_is_not_of_torch_takes_its_shape_from_the_record(
    suffix: str, tmp_path: Path
) -> None:
    file, module = tmp_path / f"m.{suffix}", nn.Sequential(OwnLinear())
    module(X)
    if suffix == "pt":
        torch.save(module.state_dict(), file)
    else:
        burnish.save_record(module, file)
    living = nn.Sequential(OwnLinear())

    burnish.load_record(living, file)
    built = burnish.from_record(lambda: nn.Sequential(OwnLinear()), file)

    for result in (living, built):
        layer: Any = result[0]
        assert layer.n_inputs == 5
        assert not layer._forward_pre_hooks
        for again in (result, copy.deepcopy(result)):
            assert torch.equal(again(X), module(X))


def test_a_lazy_layer_that_torch_could_not_load_is_filled_as_well() -> None:
    module = BareLinear()
    module(X)

    built = burnish.from_record(BareLinear, burnish.save_record(module))

    assert torch.equal(built(X), module(X))


def test_a_lazy_layer_that_is_not_of_torch_is_refused_as_it_was() -> None:
    module = OwnLinear()
    module(X)
    record = burnish.save_record(module)
    living = nn.Sequential(OwnLinear(), nn.Linear(3, 3))
    layer: Any = living[0]
    bias, hooks = layer.bias.clone(), dict(layer._forward_pre_hooks)
    renamed = burnish.open_record(record, rename={"": "0"})

    with pytest.raises(RecordMismatchError, match=r"1\.weight"):
        burnish.load_record(living, renamed)

    assert nn.parameter.is_lazy(layer.weight)
    assert layer.n_inputs == -1
    assert torch.equal(layer.bias, bias)
    assert layer._forward_pre_hooks == hooks
    assert living(X[:, :4]).shape == (2, 3)
    assert layer.n_inputs == 4


def test_an_error_of_a_class_that_is_given_a_shape_says_which_module_it_was() -> None:
    class Failing(OwnLinear):
        def set_shape(self, n_inputs: int) -> None:
            if n_inputs == 5:
                raise KeyError("no shape")
            super().set_shape(n_inputs)

    module = OwnLinear()
    module(X)
    living = Failing()

    with pytest.raises(RecordError, match=r"^weight: a lazy tensor .*_load_from_state"):
        burnish.load_record(living, burnish.save_record(module))

    assert nn.parameter.is_lazy(living.weight)
    assert living(X[:, :4]).shape == (2, 3)
