"""What cannot be kept or called is told by its name, with what to do."""

import enum
import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import burnish
from burnish.core.blueprint import Blueprint


class Color(enum.Enum):
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
    with pytest.raises(TypeError, match=r"color.*annotated with Color"):
        dict(burnish.get_hparams(Loose(Color.RED)))


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

    with pytest.raises(Exception, match=r"config: GPT2Config is no plain data"):
        blueprint.to_dict()


VALUES = [
    (3, 4),
    {1, 2},
    frozenset({1}),
    range(5, 0, -2),
    range(0),
    Path("data/x"),
    [1, 2],
    "text",
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_an_argument_without_annotation_comes_back_as_what_it_was(
    value: Any, tmp_path: Path
) -> None:
    file = tmp_path / "net.mpk"
    burnish.save_record(Loose(value), file)
    told = json.loads(json.dumps(burnish.get_hparams(Loose(value))))
    factory: Any = Loose

    for again in (burnish.from_hyperparameters(told), factory.from_record(file)):
        assert again.color == value
        assert type(again.color) is type(value)


@pytest.mark.parametrize("kinds", [3, {"color": "module"}, {"color": []}])
def test_kinds_that_are_none_are_refused(kinds: Any) -> None:
    told = {**burnish.get_hparams(Loose((1, 2))), "__kinds__": kinds}

    with pytest.raises(Exception, match="__kinds__: expected"):
        burnish.from_hyperparameters(told)
