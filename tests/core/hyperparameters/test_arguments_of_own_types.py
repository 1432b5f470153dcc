"""Arguments of types of one's own: plain data in hyperparameters, and back."""

import enum
from dataclasses import dataclass
from typing import Any, NotRequired, Required, TypedDict, Unpack

import pytest
import torch
from torch import nn

import burnish
from burnish.config import Serializable, register_field_type
from burnish.core.blueprint import Blueprint
from burnish.core.errors import HyperparameterError


class Span(Serializable):
    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end

    def serialize(self) -> Any:
        return {"start": self.start, "end": self.end}

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "Span":
        return cls(data["start"], data["end"])


class Tag:
    """Of another library."""

    def __init__(self, text: str) -> None:
        self.text = text


register_field_type(Tag, encode=lambda tag: tag.text, decode=Tag)


NO_TAG = Tag("none")


class Windowed(burnish.Module):
    def __init__(
        self, span: Span, tags: list[Tag] | None = None, tag: Tag = NO_TAG
    ) -> None:
        super().__init__()
        self.span, self.tags, self.tag = span, tags or [], tag
        self.layer = nn.Linear(span.end - span.start, 1)


def facts(net: Any) -> Any:
    return net.span.start, net.span.end, [t.text for t in net.tags], net.tag.text


FACTS = (1, 4, ["a", "b"], "c")


def windowed() -> Any:
    return Windowed(Span(1, 4), [Tag("a"), Tag("b")], Tag("c"))


def test_hyperparameters_hold_the_data_alone() -> None:
    hparams = windowed().hparams

    assert hparams["span"] == {"start": 1, "end": 4}
    assert hparams["tags"] == ["a", "b"]
    assert hparams["tag"] == "c"


def test_a_module_is_built_again_of_them() -> None:
    assert facts(burnish.from_hyperparameters(windowed().hparams)) == FACTS


def test_a_record_brings_them_back() -> None:
    net = windowed()

    again = Windowed.from_record(net.save_record())

    assert facts(again) == FACTS
    assert torch.equal(again.layer.weight, net.layer.weight)


def test_typed_hyperparameters_take_them() -> None:
    hparams: Any = Windowed.Hparams(span=Span(1, 4), tags=[Tag("a"), Tag("b")])

    again = type(hparams).loads(hparams.dump())

    assert facts(Windowed(**again)) == (1, 4, ["a", "b"], "none")


def test_a_blueprint_in_a_file_holds_them() -> None:
    blueprint = Blueprint(Windowed, Span(1, 4), tag=Tag("c"))

    assert facts(Blueprint.from_dict(blueprint.to_dict()).create()) == (1, 4, [], "c")


def test_data_that_the_class_refuses_is_told_with_its_path() -> None:
    hparams = {**windowed().hparams, "span": {"start": 1}}

    with pytest.raises(HyperparameterError, match=r"span.*not a Span"):
        burnish.from_hyperparameters(hparams)


class Mode(enum.Enum):
    FAST = 1
    EXACT = 2


@dataclass
class Part:
    width: int = 2


class Keywords(TypedDict, total=False):
    mode: Required[Mode]
    parts: NotRequired[list[Part]]


@burnish.module
class OfKeywords(nn.Module):
    def __init__(self, **options: Unpack[Keywords]) -> None:
        super().__init__()
        self.options = options


@burnish.module
class OfDict(nn.Module):
    def __init__(self, options: Keywords | None = None) -> None:
        super().__init__()
        self.options = options


@burnish.module
class Parent(nn.Module):
    def __init__(
        self, mode: Mode, parts: list[Part], sizes: Any = (), **others: Any
    ) -> None:
        super().__init__()
        self.options = {"mode": mode, "parts": parts}
        self.sizes, self.others = sizes, others


class Child(Parent):
    def __init__(self, depth: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.depth = depth


class Grandchild(Child):
    def __init__(self, *, width: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.width = width


OPTIONS: dict[str, Any] = {"mode": Mode.EXACT, "parts": [Part(3)]}


@pytest.mark.parametrize(
    "module",
    [
        OfKeywords(**OPTIONS),  # type: ignore[typeddict-item]  # it is one
        OfDict({"mode": Mode.EXACT, "parts": [Part(3)]}),
        Child(**OPTIONS),
        Grandchild(width=2, depth=3, **OPTIONS),
    ],
)
def test_items_are_of_the_types_that_a_typed_dict_or_a_parent_declares(
    module: Any,
) -> None:
    record = burnish.save_record(module)

    again = type(module).from_record(record)
    assert again.options == OPTIONS
    assert type(module).from_hyperparameters(module.hparams).options == OPTIONS


def test_keywords_that_a_parent_declares_as_plain_data_keep_what_they_were() -> None:
    module: Any = Grandchild(sizes=[1, (2, 3)], **OPTIONS)

    again = type(module).from_record(burnish.save_record(module))

    assert again.sizes == [1, (2, 3)]


def test_a_keyword_that_nobody_declares_says_how_to_declare_it() -> None:
    with pytest.raises(TypeError, match="annotated with Mode"):
        burnish.get_hparams(Child(other=Mode.FAST, **OPTIONS))
