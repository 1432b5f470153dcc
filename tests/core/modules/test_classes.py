"""Which class a program declares, whatever torch derives from it at run time."""

from torch import nn
from torch.nn.utils import parametrizations

import burnish
from burnish.core.modules.classes import (
    by_class,
    declared_class,
    is_decorated,
    torch_classes,
)


class Plain(nn.Module):
    pass


@burnish.module
class Decorated(nn.Module):
    pass


class Below(Decorated):
    pass


def test_a_class_that_torch_derives_counts_as_the_one_that_was_declared() -> None:
    layer = parametrizations.weight_norm(nn.Linear(2, 2))

    assert type(layer) is not nn.Linear
    assert declared_class(type(layer)) is nn.Linear
    assert declared_class(Plain) is Plain


def test_a_subclass_of_a_decorated_class_is_decorated() -> None:
    assert [is_decorated(cls) for cls in (Plain, Decorated, Below)] == [
        False,
        True,
        True,
    ]


def test_torch_classes_are_the_public_ones_without_wrappers() -> None:
    assert {nn.Linear, nn.Module, nn.LSTM} <= torch_classes()
    assert nn.DataParallel not in torch_classes()


def test_what_is_asked_of_a_class_is_found_out_once() -> None:
    asked: list[type[nn.Module]] = []

    @by_class
    def name_of(cls: type[nn.Module]) -> str:
        asked.append(cls)
        return cls.__name__

    assert [name_of(Plain), name_of(Plain), name_of(Below)] == [
        "Plain",
        "Plain",
        "Below",
    ]
    assert asked == [Plain, Below]
