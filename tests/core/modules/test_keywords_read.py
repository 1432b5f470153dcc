"""What a constructor reads of its ``**kwargs``."""

import functools
from typing import Any

import pytest
from torch import nn

import burnish
from burnish.core.blueprint import Blueprint
from burnish.core.blueprint.errors import SettingError
from burnish.core.modules.keywords_read import keywords_read


class Ignores(nn.Module):
    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


class LooksUp(nn.Module):
    def __init__(self, width: int = 4, **options: Any) -> None:
        super().__init__()
        bias = options.get("bias", True)
        if "dtype" in options:
            bias = bias and options["dtype"]
        self.layer = nn.Linear(width, width, bias=options.pop("use_bias", bias))


class PassesOn(nn.Module):
    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width, **kwargs)


class Checks(nn.Module):
    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__()
        if kwargs:
            raise TypeError(f"what is {[*kwargs]}?")


class InClosure(nn.Module):
    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__()
        self.make = lambda: nn.Linear(width, width, **kwargs)


class ByName(nn.Module):
    def __init__(self, name: str = "bias", **kwargs: Any) -> None:
        super().__init__()
        self.value = kwargs.get(name)


class SavesFrame(nn.Module):
    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__()
        self.save_hyperparameters()

    def save_hyperparameters(self) -> None:
        """Stand for Lightning's, which reads the variables of its caller."""


def options_of(init: Any) -> Any:
    @functools.wraps(init)
    def around(self: Any, *args: Any, extra: int = 0, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.extra = extra

    return around


class Decorated(nn.Module):
    @options_of
    def __init__(self, width: int = 4, **kwargs: Any) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (Ignores, frozenset[str]()),
        (LooksUp, {"bias", "dtype", "use_bias"}),
        (PassesOn, None),
        (Checks, None),
        (InClosure, None),
        (ByName, None),
        (SavesFrame, None),
        (Decorated, None),
        (nn.Linear, None),
        (nn.LSTM, None),
    ],
)
def test_the_code_of_a_constructor_tells_which_names_it_reads(
    cls: Any, names: Any
) -> None:
    assert keywords_read(cls) == names


def test_without_source_only_kwargs_that_nothing_mentions_are_known() -> None:
    scope: dict[str, Any] = {"nn": nn}
    exec(
        "class A(nn.Module):\n"
        "    def __init__(self, **kw):\n"
        "        super().__init__()\n"
        "class B(nn.Module):\n"
        "    def __init__(self, **kw):\n"
        "        super().__init__()\n"
        "        self.x = kw.get('x')\n",
        scope,
    )

    assert keywords_read(scope["A"]) == frozenset()
    assert keywords_read(scope["B"]) is None


def test_the_hook_of_a_decorated_class_hides_nothing() -> None:
    cls: Any = burnish.module(type("Mine", (Ignores,), {}))

    assert keywords_read(cls) == frozenset()


def test_a_setting_that_would_be_thrown_away_is_refused_in_words() -> None:
    with pytest.raises(SettingError) as refused:
        Blueprint(Ignores, 4, biass=False)
    assert "takes no argument 'biass'" in str(refused.value)
    assert "It takes: width; its constructor never reads **kwargs" in str(refused.value)

    bp = Blueprint(nn.Sequential, Blueprint(LooksUp), Blueprint(Ignores))
    with pytest.raises(SettingError, match="Did you mean 'bias'") as refused:
        bp.configure("0", biass=False)
    assert "reads only bias, dtype, use_bias of **options" in str(refused.value)
    with pytest.raises(SettingError, match="never reads"):
        bp.configure("1", "bias", False)
    with pytest.raises(SettingError, match="takes no argument"):
        bp.configure("1", Blueprint(LooksUp, 4, wdith=3))


def test_a_setting_that_is_read_or_may_be_is_taken() -> None:
    bp = Blueprint(nn.Sequential, Blueprint(LooksUp, bias=False), Blueprint(PassesOn))
    bp.configure("1", bias=False)

    built: Any = bp.build()

    assert (built[0].layer.bias, built[1].layer.bias) == (None, None)
