"""Modules that were changed by hand after their constructor, and loaded again."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import burnish
from burnish import from_pretrained, from_record, load_record, open_record
from burnish.records import RecordMismatchError
from burnish.records.entries.entries import with_parts


class Scaled(nn.Module):
    """A module of a user's own, which nobody decorated."""

    def __init__(self, scale: float = 1.0, act: Any = functional.relu) -> None:
        super().__init__()
        self.scale, self.act, self.n_calls = scale, act, 0


class Cube(nn.Linear):
    """Another function with the entries of a linear layer."""


class Net(burnish.Module):
    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.act: nn.Module = nn.ReLU()
        self.drop: nn.Module = nn.Dropout(rate)
        self.tail = nn.Sequential(nn.BatchNorm1d(2), nn.ReLU())
        self.scaled = Scaled()
        self.rate = rate


def exchange(net: Any) -> None:
    net.act = nn.Tanh()


def set_rate(net: Any) -> None:
    net.drop.p = 0.9


def set_eps(net: Any) -> None:
    net.tail[0].eps = 0.5


def append(net: Any) -> None:
    net.tail.append(nn.Dropout(0.3))


def shorten(net: Any) -> None:
    del net.tail[1]


def remove(net: Any) -> None:
    del net.act


def exchange_linear(net: Any) -> None:
    net.fc = Cube(2, 2)


def exchange_with_arguments(net: Any) -> None:
    net.act = nn.LeakyReLU(0.7)


def set_scale(net: Any) -> None:
    net.scaled.scale = 3.0


def set_function(net: Any) -> None:
    net.scaled.act = functional.gelu


def set_own(net: Any) -> None:
    net.rate = 0.4


def add(net: Any) -> None:
    net.extra = nn.ReLU()


_REFUSED: list[tuple[Callable[[Any], None], str]] = [
    (exchange, "act: stored Tanh, the module has ReLU"),
    (exchange_with_arguments, "act: stored LeakyReLU, the module has ReLU"),
    (set_rate, "drop.p: stored 0.9, the module has 0.1"),
    (set_eps, "tail.0.eps: stored 0.5, the module has 1e-05"),
    (append, "tail.2: stored Dropout, the module has nothing"),
    (shorten, "tail.1: stored nothing, the module has ReLU"),
    (remove, "act: stored nothing, the module has ReLU"),
    (exchange_linear, "fc: stored Cube, the module has Linear"),
]
_TOLD: list[tuple[Callable[[Any], None], str]] = [
    (set_scale, "scaled.scale: stored 3.0, the module has 1.0"),
    (set_function, "scaled.act: stored 'the function torch"),
    (set_own, "rate: stored 0.4, the module has 0.1"),
    (add, "extra: stored ReLU, the module has nothing"),
]


def as_it_is(net: Any) -> Any:
    return net


def pickled(net: Any) -> Any:
    return pickle.loads(pickle.dumps(net))


@pytest.mark.parametrize("way", [as_it_is, copy.deepcopy, pickled])
@pytest.mark.parametrize(("change", "line"), _REFUSED)
def test_what_was_exchanged_after_the_constructor_is_not_loaded_into_what_it_makes(
    change: Callable[[Any], None], line: str, way: Callable[[Any], Any]
) -> None:
    net: Any = Net()
    change(net)
    net = way(net)

    data = net.save_record()

    with pytest.raises(RecordMismatchError) as error:
        Net.from_record(data)
    assert line in str(error.value)
    with pytest.raises(RecordMismatchError):
        load_record(Net(), data)
    load_record(Net(), data, hyperparameters="ignore")


@pytest.mark.parametrize(("change", "line"), _TOLD)
def test_attributes_of_a_users_own_classes_that_changed_are_a_warning(
    change: Callable[[Any], None], line: str
) -> None:
    net: Any = Net()
    change(net)

    with pytest.warns(UserWarning, match="may differ") as warned:
        Net.from_record(net.save_record())

    assert line in str(warned[0].message)


@pytest.mark.parametrize("change", [change for change, _ in (*_REFUSED, *_TOLD)])
def test_a_module_that_was_changed_alike_is_the_same(
    change: Callable[[Any], None],
) -> None:
    net: Any = Net()
    change(net)
    other = Net()
    change(other)

    report = load_record(other, net.save_record())

    assert not report.changed


def make_nothing(net: Any) -> None:
    net.eval().requires_grad_(False)
    net.tail.double()


def count(net: Any) -> None:
    net.scaled.n_calls += 1
    net.tail[1].inplace = True


def compile_parts(net: Any) -> None:
    net.act = torch.compile(net.act)
    net.fc.compile()


def script(net: Any) -> None:
    net.tail = torch.jit.script(net.tail)


def synchronize(net: Any) -> None:
    convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
    net.tail = convert(net.tail)


def cache(net: Any) -> None:
    net.scaled.scale = torch.ones(2, 2)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:Warning")
@pytest.mark.parametrize(
    "change", [make_nothing, count, compile_parts, script, synchronize, cache]
)
def test_what_changes_no_function_is_no_difference(
    change: Callable[[Any], None],
) -> None:
    net: Any = Net()
    change(net)

    again: Any = Net.from_record(net.save_record())

    assert not burnish.core.persistence.loading.report_of(again).changed
    assert load_record(net, Net().save_record()).changed == []


def test_what_the_entries_show_is_judged_as_entries_are() -> None:
    class Adapter(nn.Module):
        def __init__(self, base: nn.Module) -> None:
            super().__init__()
            self.base, self.down = base, nn.Linear(2, 1)

    net: Any = Net()
    net.fc = Adapter(net.fc)
    data = net.save_record()

    with pytest.raises(RecordMismatchError, match=r"fc\.weight"):
        Net.from_record(data)
    report = load_record(Net(), data, strict=False)
    assert any("fc: stored" in line for line in report.changed)
    adapted: Any = Net()
    adapted.fc = Adapter(adapted.fc)
    assert not load_record(adapted, data).changed


def test_what_is_not_read_is_not_compared() -> None:
    net: Any = Net()
    exchange_linear(net)
    data = net.save_record()

    report = load_record(Net(), open_record(data, exclude="fc.**"))

    assert not report.changed


def test_what_a_parent_changes_in_its_constructor_is_what_it_makes() -> None:
    class Parent(burnish.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()
            self.net.act = nn.Tanh()

    parent: Any = Parent()

    again: Any = Parent.from_record(parent.save_record())

    assert type(again.net.act) is nn.Tanh
    with pytest.raises(RecordMismatchError, match="stored Tanh"):
        Net.from_record(parent.net.save_record())


def test_a_lazy_layer_that_took_its_size_is_the_layer_that_was_built() -> None:
    class Lazy(burnish.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.LazyLinear(3)

    def sized() -> Any:
        net: Any = Lazy()
        net.fc(torch.ones(1, 2))
        return net

    net = sized()

    assert not load_record(sized(), net.save_record()).changed


def test_a_blueprint_that_was_changed_after_its_build_is_told() -> None:
    blueprint: Any = Net.blueprint()
    blueprint.configure("drop", p=0.5)
    net = blueprint.build()
    net.act = nn.Tanh()
    data = net.save_record()

    with pytest.raises(RecordMismatchError, match="act: stored Tanh"):
        load_record(blueprint.new().build(), data)
    other = blueprint.new().build()
    other.act = nn.Tanh()
    assert not load_record(other, data).changed


def test_a_folder_of_a_changed_module_says_so(tmp_path: Path) -> None:
    net: Any = Net()
    set_rate(net)

    net.save_pretrained(tmp_path)

    with pytest.raises(RecordMismatchError, match=r"drop\.p: stored 0\.9"):
        from_pretrained(tmp_path, Net)


def test_a_factory_that_makes_the_change_too_loads() -> None:
    net: Any = Net()
    exchange(net)

    def build() -> Any:
        again = Net()
        exchange(again)
        return again

    again = from_record(build, net.save_record())

    assert type(again.act) is nn.Tanh


@pytest.mark.parametrize("told", [3, [3], [[["act"], 3]], [[[1], {}]], [[["act"]]]])
def test_changes_in_a_file_that_are_none_are_refused(told: Any) -> None:
    record = burnish.core.persistence.saving.into_record(Net())
    ours: Any = record.metadata["burnish"]
    ours["hparams"]["__changed__"] = told

    with pytest.raises(RecordMismatchError, match="__changed__"):
        load_record(Net(), with_parts(record, metadata={"burnish": ours}))


class Sometimes(nn.Module):
    """A module whose instances keep different ones of their arguments."""

    def __init__(self, scale: Any = None, sizes: Any = None) -> None:
        super().__init__()
        if scale is not None:
            self.scale = scale
        if sizes is not None:
            self.sizes = sizes


class Mixed(burnish.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [Sometimes(), Sometimes(1.0), Sometimes(sizes=[1]), Sometimes(2.0, 3)]
        )


@pytest.mark.parametrize(("part", "name"), [(1, "scale"), (3, "scale"), (3, "sizes")])
def test_what_only_some_instances_keep_is_compared_in_those(
    part: int, name: str
) -> None:
    net: Any = Mixed()
    assert "__changed__" not in net.into_record().metadata["burnish"]["hparams"]

    setattr(net.parts[part], name, 9)

    changed = net.into_record().metadata["burnish"]["hparams"]["__changed__"]
    assert changed[0][0] == [f"parts.{part}"]
    assert changed[0][1]["attributes"] == {name: 9}


class Tower(burnish.Module):
    def __init__(self, is_tied: bool = False) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 2)
        if is_tied:
            self.last.weight = self.first.weight


def test_parameters_that_were_tied_by_hand_are_told_where_the_module_has_two() -> None:
    tower = Tower()
    tower.last.weight = tower.first.weight
    data = burnish.save_record(tower)

    with pytest.warns(UserWarning, match=r"last\.weight: stored as one parameter with"):
        new = Tower.from_record(data)
    with pytest.warns(UserWarning, match=r"last\.weight: stored as one parameter with"):
        report = Tower().load_record(data)

    assert torch.equal(new.last.weight, tower.last.weight)
    assert report.changed == [
        "last.weight: stored as one parameter with first.weight, the module has two"
    ]


def test_whoever_chose_not_to_tie_parameters_reads_it_in_the_report_alone() -> None:
    data = burnish.save_record(Tower(is_tied=True))

    new = Tower.from_record(data, is_tied=False)

    report = burnish.core.report_of(new)
    assert report is not None
    assert any("stored as one parameter" in line for line in report.changed)


def test_tied_parameters_of_a_module_that_ties_them_are_nothing_to_tell() -> None:
    tower = Tower(is_tied=True)

    new = Tower.from_record(burnish.save_record(tower))

    report = burnish.core.report_of(new)
    assert report is not None
    assert report.changed == []


def test_a_replaced_part_with_other_entries_is_named_with_what_to_do(
    tmp_path: Path,
) -> None:
    net = Net()
    net.fc = nn.GRU(2, 2)  # type: ignore[assignment]  # another layer than declared
    net.save_record(tmp_path / "net.mpk")

    with pytest.raises(RecordMismatchError, match=r"fc: stored .*GRU, the module has"):
        Net.from_record(tmp_path / "net.mpk")
