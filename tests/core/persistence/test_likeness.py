"""Modules that came to one structure by other arguments and changes."""

import copy
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

import burnish
from burnish import from_record, load_record
from burnish.records import RecordMismatchError


class Net(burnish.Module):
    def __init__(self, width: int = 4, p: float = 0.1) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 2)
        self.drop = nn.Dropout(p)


def configured() -> Any:
    return Net.blueprint(32).configure("drop", p=0.9).build()


def by_argument() -> Any:
    return Net(32, p=0.9)


def by_whole() -> Any:
    return Net.blueprint(32).configure(p=0.9).build()


def by_hand() -> Any:
    net = Net(32)
    net.drop.p = 0.9
    return net


def by_width() -> Any:
    return Net.blueprint(p=0.9).configure("fc", in_features=32).build()


ALIKE = [configured, by_argument, by_whole, by_hand, by_width]


@pytest.mark.parametrize("stored", ALIKE)
@pytest.mark.parametrize("target", ALIKE)
def test_modules_of_one_structure_load_each_others_records_however_they_were_built(
    stored: Callable[[], Any], target: Callable[[], Any]
) -> None:
    data = stored().save_record()
    living = target()
    torch.manual_seed(3)
    before = torch.get_rng_state()

    load_record(living, data)
    load_record(copy.deepcopy(living), data)

    assert torch.equal(before, torch.get_rng_state())
    assert from_record(target, data).drop.p == 0.9


@pytest.mark.parametrize("stored", ALIKE)
def test_another_structure_is_refused_however_it_was_built(
    stored: Callable[[], Any],
) -> None:
    data = stored().save_record()

    for other in (Net(32), Net(32, p=0.5), Net.blueprint(32).build()):
        with pytest.raises(RecordMismatchError, match=r"p: stored 0\.[19], .* has 0"):
            load_record(other, data)


class Config:
    def __init__(self, rate: float) -> None:
        self.rates = {"first": [rate, float("nan")]}


def scaled(values: Any, rate: float) -> Any:
    return values * rate


class Keeping(burnish.Module, skip="skipped"):
    """A module that keeps its argument in the place that ``keep`` names."""

    def __init__(self, keep: str, p: float = 0.1) -> None:
        super().__init__()
        self.fc, self.drop = nn.Linear(2, 2), nn.Dropout(p)
        if keep == "attribute":
            self._rate = p
        elif keep == "object":
            self.config = Config(p)
        elif keep == "closure":
            self.scale = lambda values: values * p
        elif keep == "partial":
            self.scale = functools.partial(scaled, rate=p)
        elif keep == "hook":

            def scale_output(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                return output * p

            self.fc.register_forward_hook(scale_output)
        elif keep == "buffer":
            self.register_buffer("skipped", torch.tensor(p))
        elif keep == "tensor":
            self.rate = torch.tensor(p)
        elif keep == "presence" and p > 0.5:
            self.is_strong = True
        elif keep == "unseen":
            self.steps = iter([p])


PLACES = [
    "attribute",
    "object",
    "closure",
    "partial",
    "hook",
    "buffer",
    "tensor",
    "presence",
]


@pytest.mark.parametrize("keep", [*PLACES, "unseen"])
def test_an_argument_that_goes_elsewhere_than_into_parts_is_refused_in_words(
    keep: str,
) -> None:
    changed: Any = Keeping.blueprint(keep).configure("drop", p=0.9).build()
    direct = Keeping(keep, p=0.9)

    for module, other in ((changed, direct), (direct, changed)):
        with pytest.raises(
            RecordMismatchError, match="rebuilt from what is stored with"
        ):
            load_record(module, other.save_record())


@pytest.mark.parametrize("keep", PLACES)
def test_what_a_module_keeps_alike_is_no_difference(keep: str) -> None:
    direct: Any = Keeping(keep, p=0.9)
    whole: Any = Keeping.blueprint(keep, 0.9).configure("drop", p=0.5).build()
    direct.drop.p = 0.5

    assert load_record(direct, whole.save_record()).changed == []
    load_record(whole, direct.save_record())


class Fragile(burnish.Module):
    builds: ClassVar[list[float]] = []

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.fc, self.drop = nn.Linear(2, 2), nn.Dropout(p)
        if len(self.builds) > 2:
            raise OSError("nothing is left")
        self.builds.append(p)


def test_a_stored_module_that_cannot_be_built_again_is_compared_by_its_arguments() -> (
    None
):
    stored: Any = Fragile(p=0.9)
    changed: Any = Fragile()
    changed.drop.p = 0.9
    data = stored.save_record()
    Fragile.builds.append(0)

    with pytest.raises(RecordMismatchError, match=r"p: stored 0\.9, the module has 0"):
        load_record(changed, data)
