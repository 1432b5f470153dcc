# pyright: reportInconsistentConstructor=false
# Constructors of two minds are what is tested.
"""Calls of classes that take their arguments in more places than the constructor."""

from typing import Any

import pytest
from torch import nn

import burnish
from burnish.core.errors import HyperparameterError


class Positional(burnish.Module):
    def __new__(cls, w: int, *rest: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, w: int, p: float = 1.0, q: float = 2.0) -> None:
        super().__init__()
        self.fc, self.p, self.q = nn.Linear(w, 2), p, q


class OtherName(burnish.Module):
    def __new__(cls, width: int, **rest: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, w: int, p: float = 1.0, *, q: float = 2.0) -> None:
        super().__init__()
        self.fc, self.p, self.q = nn.Linear(w, 2), p, q


class Ordered(type):
    def __call__(cls, *args: Any) -> Any:
        return super().__call__(*args)


class OfMetaclass(burnish.Module, metaclass=Ordered):
    def __init__(self, w: int, p: float = 1.0, q: float = 2.0) -> None:
        super().__init__()
        self.fc, self.p, self.q = nn.Linear(w, 2), p, q


CLASSES: list[Any] = [Positional, OtherName, OfMetaclass]


def made(cls: Any, p: float) -> Any:
    return cls(4, p=p) if cls is OtherName else cls(4, p)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_class_that_takes_arguments_by_position_alone_is_built_from_its_file(
    cls: Any,
) -> None:
    net = made(cls, 3.0)
    data = net.save_record()

    for other in (cls.from_record(data), cls.from_hyperparameters(net.hparams)):
        assert (other.fc.in_features, other.p, other.q) == (4, 3.0, 2.0)
    assert cls.from_record(data, q=5.0).q == 5.0
    assert cls.from_record(data, p=5.0).p == 5.0


@pytest.mark.parametrize("cls", CLASSES)
def test_a_class_that_takes_arguments_by_position_alone_has_blueprints(
    cls: Any,
) -> None:
    blueprint = cls.blueprint(4, 3.0)
    blueprint.configure("fc", bias=False)
    net = blueprint.build()

    again = cls.from_record(net.save_record())

    assert (again.p, again.fc.bias) == (3.0, None)


class Strict(burnish.Module):
    """A class that nothing but its own factory can build."""

    def __new__(cls, token: Any, w: int) -> Any:
        return super().__new__(cls)

    def __init__(self, *, w: int) -> None:
        super().__init__()
        self.fc = nn.Linear(w, 2)

    @classmethod
    def make(cls, w: int) -> Any:
        net = cls.__new__(cls, None, w)
        net.__init__(w=w)
        return net


def test_a_class_that_no_call_builds_is_refused_with_what_to_do() -> None:
    data = Strict.make(3).save_record()

    with pytest.raises(HyperparameterError, match="register_hparams"):
        Strict.from_record(data)
    assert burnish.from_record(lambda: Strict.make(3), data).fc.in_features == 3
