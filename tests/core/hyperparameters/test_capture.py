"""What a decorated constructor may be called with: all that it took before."""

import copy
import gc
import pickle
import warnings
import weakref
from typing import Any

import pytest
import torch
from pydantic import ConfigDict
from torch import nn

from burnish import open_record
from burnish.config import Hparams
from burnish.core import (
    Module,
    get_hparams,
    module,
    register_class,
    register_hparams,
)

from .models import Config, Holds, Net, Pair, again


@module
class Any_(nn.Module):
    def __init__(this, *values: Any, **named: Any) -> None:  # pyright: ignore[reportSelfClsParameterName]  # what is tested
        super().__init__()
        this.layer = nn.Linear(1, 1)
        this.values, this.named = values, named


@module
class Table(nn.Module):
    def __init__(self, weight: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())


def test_an_argument_that_contains_itself_is_passed_on() -> None:
    items: list[Any] = []
    items.append(items)

    holder: Any = Any_(items, named=items)

    assert holder.values[0] is items
    hparams = open_record(holder.save_record()).metadata["burnish"]["hparams"]
    assert "__unstored__" in hparams


def test_an_argument_may_be_called_self() -> None:
    holder: Any = Any_(self=1)

    assert holder.named == {"self": 1}
    again: Any = Any_.from_record(holder.save_record())  # type: ignore[attr-defined]  # of a decorated class
    assert again.named == {"self": 1}


def test_a_tensor_that_was_an_argument_is_not_pickled_beside_the_parameter() -> None:
    table: Any = Table(torch.zeros(10_000))

    data = pickle.dumps(table)

    assert len(data) < 60_000
    assert torch.equal(pickle.loads(data).weight, table.weight)


@pytest.mark.usefixtures("quick_collections")
def test_tensors_that_were_arguments_are_not_kept_by_what_is_noted() -> None:
    weight = torch.zeros(10_000)
    table: Any = Table(weight)
    holder: Any = Any_([weight], (1, (weight,)), named={"a": [weight.numpy()]})
    holder.values = holder.named = ()
    held = weakref.ref(weight)

    del weight
    gc.collect()

    assert held() is None
    assert len(pickle.dumps(copy.deepcopy(holder))) < 20_000
    with pytest.raises(TypeError, match=r"weight: an object of torch\.Tensor is no"):
        _ = table.hparams
    hparams = open_record(holder.save_record()).metadata["burnish"]["hparams"]
    assert set(hparams["__unstored__"]) == {"values", "named"}


def test_what_was_declared_as_a_tensor_is_checked_as_one() -> None:
    seen: list[Any] = []

    @module
    class Checked(nn.Module):
        class Hparams(Hparams):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            weight: torch.Tensor

        def __init__(self, weight: torch.Tensor) -> None:
            super().__init__()
            seen.append(weight)

    weight = torch.ones(2)

    Checked(weight)

    assert seen[0] is weight


class Grown(Net):
    def __init__(self, a: int, deep: bool = False) -> None:
        super().__init__(a + 1)
        self.deep = deep


def test_a_subclass_notes_its_own_arguments_once() -> None:
    hparams = Grown(3).hparams

    assert hparams["__name__"] == "Grown"
    assert (hparams["a"], hparams["deep"]) == (3, False)
    assert "b" not in hparams
    assert hparams["lin"]["in_features"] == 4
    assert repr(again(Grown(3))) == repr(Grown(3))


def test_scripting_compiling_pickling_and_copying_keep_hparams() -> None:
    net = Net(3, c="y")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that scripting is deprecated
        scripted: Any = torch.jit.script(net)
        compiled: Any = torch.compile(net, backend="eager")
        x = torch.ones(1, 3)
        outputs = [scripted(x), compiled(x), net(x)]

    assert all(torch.equal(y, outputs[-1]) for y in outputs)
    assert copy.deepcopy(net).hparams == net.hparams
    assert pickle.loads(pickle.dumps(net)).hparams == net.hparams
    assert get_hparams(compiled) == net.hparams


def test_what_is_passed_is_noted_as_it_was() -> None:
    sizes = [1, 2]
    net = Holds(sizes)

    sizes.append(3)

    assert net.hparams["value"] == [1, 2]


class Popping(Module):
    def __init__(self, sizes: list[int], options: dict[str, int]) -> None:
        super().__init__()
        sizes.pop()
        options.clear()


def test_a_constructor_that_empties_its_arguments_is_told_right() -> None:
    assert Popping([1, 2], {"a": 1}).hparams["sizes"] == [1, 2]
    assert Popping([1, 2], {"a": 1}).hparams["options"] == {"a": 1}


class Tensors(nn.Module):
    """Of somebody else, who takes an object as the argument."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.lin = nn.Linear(config.width, 1)


def test_a_getter_and_a_builder_make_foreign_classes_known() -> None:
    register_hparams(
        Tensors,
        lambda net: {"config": {"width": net.config.width}},
        build=lambda cls, found: cls(Config(**found["config"])),
        subclasses=True,
    )
    register_class(Tensors)

    class More(Tensors):
        pass

    made = again(Pair(Tensors(Config(4)), More(Config(5))))

    assert made.left.lin.in_features == 4
    assert type(made.right) is More


def test_only_classes_of_modules_get_a_getter() -> None:
    with pytest.raises(TypeError, match="module classes"):
        register_hparams(int, dict)  # type: ignore[type-var]  # that is refused


class Lit(nn.Module):
    """Like a LightningModule: a property of its own, without a setter."""

    @property
    def hparams(self) -> dict[str, Any]:
        return {"width": 3}


@module
class Task(Lit):
    def __init__(self, width: int, cls: str = "a") -> None:
        super().__init__()
        self.lin = nn.Linear(width, 1)


def test_an_hparams_of_somebody_else_is_left_alone() -> None:
    task = Task(4)

    assert task.hparams == {"width": 3}
    assert (get_hparams(task)["width"], get_hparams(task)["cls"]) == (4, "a")
    assert get_hparams(Lit())["width"] == 3
    assert repr(again(task)) == repr(task)


def test_a_module_with_hparams_of_its_own_keeps_them() -> None:
    class Own(Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.hparams = {"mine": width}

    own = Own(3)

    assert own.hparams == {"mine": 3}
    assert get_hparams(own)["width"] == 3


def test_parametrized_modules_count_as_their_class() -> None:
    net = Net(3)
    before = net.hparams
    nn.utils.parametrizations.weight_norm(net.lin)

    hparams = net.hparams

    assert hparams["lin"]["__name__"] == "Linear"
    assert {
        k: v for k, v in hparams["lin"].items() if k != "parametrizations"
    } == before["lin"]


def test_a_lightning_module_keeps_its_hparams_and_is_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # while the library is imported
        lightning: Any = pytest.importorskip("lightning.pytorch")

    class Base(lightning.LightningModule):  # type: ignore[misc]  # of any library
        def __init__(self, width: int = 3, rate: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.lin = nn.Linear(width, 1)

    plain: Any = register_class(Base)
    decorated: Any = module(type("Task", (Base,), {"__module__": __name__}))

    for cls in (plain, decorated):
        net = cls(width=5)
        made: Any = again(net)
        assert net.hparams["width"] == 5
        assert made.lin.in_features == 5
        assert get_hparams(made)["rate"] == 0.1
