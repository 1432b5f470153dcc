import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.records import Record, RecordMismatchError


class Turned(nn.Module):
    """A class whose older state dicts have its weight the other way round."""

    _version = 2

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(2, 2))
        self.bn = nn.BatchNorm1d(2)

    def _load_from_state_dict(  # type: ignore[override]  # as users write it
        self, state: Any, start: str, metadata: Any, *others: Any
    ) -> None:
        if metadata.get("version", 1) < 2 and start + "w" in state:
            state[start + "w"] = state[start + "w"].t()
        super()._load_from_state_dict(state, start, metadata, *others)


class Hooked(nn.Module):
    """A class that stores its child's weight in another unit."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 2)
        self.register_load_state_dict_pre_hook(self.scale)  # type: ignore[no-untyped-call]  # of torch

    @staticmethod
    def scale(module: Any, state: Any, start: str, *others: Any) -> None:
        name = start + "lin.weight"
        if name in state:
            state[name] *= 10


def net(kind: type[nn.Module]) -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), kind())


def plain(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state dict without what torch says of the classes in it."""
    return {name: t.clone() for name, t in module.state_dict().items()}


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (Turned, "1.w", "Turned._load_from_state_dict"),
        (Hooked, "1.lin.weight", "Hooked.scale"),
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors", "mpk"])
def test_a_state_dict_that_the_class_converts_when_torch_loads_it_is_refused_by_name(
    kind: type[nn.Module], name: str, code: str, suffix: str, tmp_path: Path
) -> None:
    file, module = tmp_path / f"m.{suffix}", net(kind)
    tensors = plain(net(kind))
    if suffix == "pt":
        torch.save(tensors, file)
    else:
        Record.from_state_dict(tensors).save(file)
    before = plain(module)

    for load in (
        lambda: burnish.load_record(module, file),
        lambda: burnish.from_record(lambda: net(kind), file),
    ):
        with pytest.raises(RecordMismatchError) as caught:
            load()
        assert f"{name}: found values of a state dict, which {code}" in str(
            caught.value
        )
        assert "module.load_state_dict(torch.load(file))" in str(caught.value)
        assert str(caught.value).count("found values") == 1
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())


def test_a_state_dict_of_the_class_as_it_is_now_is_loaded(tmp_path: Path) -> None:
    file, source, module = tmp_path / "m.pt", net(Turned), net(Turned)
    torch.save(source.state_dict(), file)
    wrapped = {f"model.{name}": t for name, t in source.state_dict().items()}
    named: Any = type(source.state_dict())(wrapped)
    named._metadata = {
        f"model.{path}".rstrip("."): item
        for path, item in source.state_dict()._metadata.items()  # type: ignore[attr-defined]  # of torch
    }

    burnish.load_record(module, file)
    live = Record.from_state_dict(source.state_dict())
    built = burnish.from_record(lambda: net(Turned), live)
    renamed = burnish.open_record(Record.from_state_dict(named), rename={"model": ""})
    other = burnish.from_record(lambda: net(Turned), renamed)

    for result in (module, built, other):
        for name, tensor in result.state_dict().items():
            assert torch.equal(tensor, source.state_dict()[name])


@pytest.mark.parametrize("kind", [Turned, Hooked])
@pytest.mark.parametrize("suffix", ["mpk", "safetensors", "json"])
def test_a_record_of_the_module_has_its_own_values_whatever_the_class_converts(
    kind: type[nn.Module], suffix: str, tmp_path: Path
) -> None:
    file, source, module = tmp_path / f"m.{suffix}", net(kind), net(kind)
    burnish.save_record(source, file)

    burnish.load_record(module, file)
    built = burnish.from_record(lambda: net(kind), file)
    part = burnish.from_record(kind, burnish.open_record(file)["1"])

    for result in (module, built):
        for name, tensor in result.state_dict().items():
            assert torch.equal(tensor, source.state_dict()[name])
    for name, tensor in part.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[f"1.{name}"])


class Unready(Hooked):
    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("there is one of me")


def test_code_that_cannot_be_tried_on_a_copy_is_warned_of() -> None:
    record = Record.from_state_dict(plain(net(Unready)))

    with pytest.warns(UserWarning, match=r"Hooked\.scale may convert .* one of me"):
        burnish.load_record(net(Unready), record)


def test_code_that_only_renames_is_no_matter(tmp_path: Path) -> None:
    class Renamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(2, 2)
            self.register_load_state_dict_pre_hook(self.rename)  # type: ignore[no-untyped-call]  # of torch

        @staticmethod
        def rename(module: Any, state: Any, start: str, *others: Any) -> None:
            for name in list(state):
                if name.startswith(start + "old."):
                    state[start + "lin." + name[len(start) + 4 :]] = state.pop(name)

    source, module = Renamed(), Renamed()
    record = Record.from_state_dict(plain(source))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        burnish.load_record(module, record)

    assert torch.equal(module.lin.weight, source.lin.weight)


@pytest.mark.parametrize("suffix", ["pt", "mpk", "json", "safetensors"])
def test_a_state_dict_made_of_a_record_says_of_which_version_its_classes_are(
    suffix: str, tmp_path: Path
) -> None:
    file, back = tmp_path / f"m.{suffix}", tmp_path / "back.pt"
    source, module, part = net(Turned), net(Turned), Turned()
    if suffix == "pt":
        torch.save(source.state_dict(), file)
    else:
        burnish.save_record(source, file)

    record = burnish.open_record(file)
    torch.save(record.to_state_dict(), back)
    module.load_state_dict(torch.load(back))
    part.load_state_dict(burnish.open_record(record["1"]).to_state_dict())
    again = Turned()
    burnish.load_record(again, burnish.open_record(back)["1"])

    assert torch.equal(again.w, part.w)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])
    assert torch.equal(part.w, source.state_dict()["1.w"])


class Doubling(nn.Module):
    """A class whose state dicts, as a whole, have other values than its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.seq = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        self.factor = 2.0

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        state = super().state_dict(*args, **kwargs)
        return {name: value * self.factor for name, value in state.items()}

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        halves = {name: value / self.factor for name, value in state_dict.items()}
        return super().load_state_dict(halves, *args, **kwargs)


def test_a_class_whose_own_load_state_dict_converts_is_named(tmp_path: Path) -> None:
    torch.save(Doubling().state_dict(), tmp_path / "state.pt")

    with pytest.raises(
        RecordMismatchError, match=r"Doubling\.load_state_dict converts"
    ):
        burnish.load_record(Doubling(), tmp_path / "state.pt")


@pytest.mark.parametrize("exclude", [None, "seq.0.bias"])
def test_a_class_whose_own_load_state_dict_converts_nothing_is_loaded(
    tmp_path: Path, exclude: str | None
) -> None:
    source, target = Doubling(), Doubling()
    source.factor = target.factor = 1.0
    torch.save(source.state_dict(), tmp_path / "state.pt")

    record = burnish.open_record(tmp_path / "state.pt", exclude=exclude)
    burnish.load_record(target, record)

    weights = [m.get_parameter("seq.0.weight") for m in (source, target)]
    assert torch.equal(*weights)
