"""Arguments of every kind are plain data, and come back as what they are."""

import enum
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import burnish
from burnish.config import Hparams
from burnish.core import (
    Module,
    allow_classes,
    get_hparams,
)
from burnish.core.blueprint import Blueprint
from burnish.core.errors import HyperparameterError

from .models import Color, Config, Holds, Inner, again


class Foreign(nn.Module):
    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.size = size
        self.lin = nn.Linear(size, size)


def test_plain_dicts_stay_plain_dicts() -> None:
    options = {"k": {"in_features": 3}, "names": {"a": "Linear"}}

    made = again(Holds(options))

    assert made.value == options


class Typed(Hparams):
    lr: float = 0.1
    tags: tuple[str, ...] = ()


class Declares(Module):
    def __init__(
        self,
        size: tuple[int, ...] = (1,),
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
        color: Color = Color.RED,
        config: Config | None = None,
        typed: Typed | None = None,
        file: Path = Path("a"),
        by_number: dict[int, str] | None = None,
        names: frozenset[str] = frozenset(),
        act: type[nn.Module] = nn.ReLU,
        norm: Callable[..., nn.Module] = nn.LayerNorm,
    ) -> None:
        super().__init__()
        self.seen = dict(locals())
        self.seen = {
            k: v for k, v in self.seen.items() if k not in ("self", "__class__")
        }


def test_declared_arguments_come_back_as_what_they_are() -> None:
    net = Declares(
        size=(3, 4),
        dtype=torch.bfloat16,
        device=torch.device("cpu"),
        color=Color.RED,
        config=Config(5, inner=Inner((7, 8), torch.int8)),
        typed=Typed(lr=0.5, tags=("a", "b")),
        file=Path("x") / "y",
        by_number={1: "one"},
        names=frozenset({"b", "a"}),
        act=nn.Tanh,
    )

    made = again(net)

    assert {k: v for k, v in made.seen.items() if k not in ("norm", "device")} == {
        k: v for k, v in net.seen.items() if k not in ("norm", "device")
    }
    assert made.seen["norm"] is nn.LayerNorm
    assert made.seen["device"] == torch.device("cpu")
    assert get_hparams(made) == net.hparams


def test_a_partial_of_a_class_comes_back() -> None:
    net = Declares(norm=partial(nn.LayerNorm, eps=1e-3))

    made = again(net)

    assert made.seen["norm"](4).eps == 1e-3


def test_dtypes_come_back_where_nothing_is_declared() -> None:
    assert again(Holds([torch.float16, "float16"])).value == [torch.float16, "float16"]


class Anything(Module):
    def __init__(self, first: Any, /, *rest: Any, key: Any = 0, **options: Any) -> None:
        super().__init__()
        self.seen = (first, rest, key, options)


def test_arguments_of_every_kind_come_back() -> None:
    net = Anything(1, 2, [3], key={"a": None}, first="x", more=4.5)

    made = again(net)

    assert made.seen == net.seen
    assert net.hparams["rest"] == [2, [3]]
    assert net.hparams["options"] == {"first": "x", "more": 4.5}


@pytest.mark.parametrize(
    "value",
    [
        lambda x: x,
        open,
        object(),
        torch.zeros(2),
        {1: "a"},
        {"__name__": "x"},
        1j,
        Config(),
        Foreign,
        [{"deep": print}],
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_what_is_no_plain_data_is_an_error_when_told_not_when_built(value: Any) -> None:
    net = Holds(value)

    with pytest.raises((TypeError, HyperparameterError), match="value"):
        _ = net.hparams


def test_a_list_within_itself_is_an_error() -> None:
    net = Holds()
    arguments = net.__dict__["_burnish_arguments"]
    loop: list[Any] = []
    loop.append(loop)
    arguments.args = (loop,)

    with pytest.raises(HyperparameterError, match="within itself"):
        _ = net.hparams


def test_a_text_that_reads_as_a_dtype_is_refused_where_nothing_is_declared() -> None:
    class Text(Module):
        def __init__(self, text: str) -> None:
            super().__init__()

    with pytest.raises(TypeError, match=r"value: the string 'torch.int8'"):
        get_hparams(Holds("torch.int8"))
    assert again(Text("torch.int8")).hparams["text"] == "torch.int8"


class Shade(enum.Enum):
    RED = "red"


@burnish.module
class Loose(nn.Module):
    def __init__(self, color: Any = None) -> None:
        super().__init__()
        self.color = color


@burnish.module
class Sized(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)


def test_an_enum_without_annotation_is_told_by_its_argument() -> None:
    with pytest.raises(TypeError, match=r"color.*annotated with Shade"):
        dict(burnish.get_hparams(Loose(Shade.RED)))


def test_a_class_that_needs_arguments_is_no_factory_and_says_what_is(
    tmp_path: Path,
) -> None:
    file = tmp_path / "net.mpk"
    burnish.save_record(Sized(3), file)
    factory: Any = Sized

    with pytest.raises(TypeError, match=r"Sized needs arguments .*Sized\.from_record"):
        burnish.from_record(factory, file)
    assert factory.from_record(file).linear.in_features == 3


def test_a_config_of_transformers_in_a_blueprint_is_told_by_path() -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"n_layer": 1, "n_head": 1, "n_embd": 8, "vocab_size": 16}
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
    blueprint = Blueprint(transformers.GPT2LMHeadModel, config)

    with pytest.raises(Exception, match=r"config: GPT2Config is not plain data"):
        blueprint.to_dict()


@burnish.module
class OneValue(nn.Module):
    def __init__(self, value: Any = None) -> None:
        super().__init__()
        self.value = value


_PLAIN_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from([torch.float16, torch.device("cpu"), Path("a/b")]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(_PLAIN_VALUES)
def test_a_value_of_an_argument_comes_back_from_hyperparameters_and_blueprints(
    value: Any,
) -> None:
    with allow_classes(OneValue):
        hparams = burnish.get_hparams(OneValue(value))
        data = json.loads(json.dumps(Blueprint(OneValue, value=value).to_dict()))

        from_hparams = burnish.from_hyperparameters(hparams, OneValue)
        from_blueprint: Any = Blueprint.from_dict(data).build()

    assert repr(from_hparams.value) == repr(value)
    assert repr(from_blueprint.value) == repr(value)


def test_hyperparameters_inside_of_plain_data_come_back_without_a_word(
    tmp_path: Path,
) -> None:
    hparams = burnish.get_hparams(nn.Sequential(nn.Linear(2, 2)))
    file = tmp_path / "all.mpk"

    burnish.save_record({"config": hparams, "epoch": 1}, file)  # warnings are errors

    assert burnish.open_record(file).to_data()["config"] == hparams
