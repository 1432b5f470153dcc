"""Annotations of classes and functions, and of the bodies of classes."""

import dataclasses
import functools
import typing
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from burnish.config import load
from burnish.config.classes.annotations import (
    annotate,
    annotations_in,
    annotations_of,
    is_class_variable,
    known_hints,
    unresolved,
)
from burnish.config.hparams import Hparams
from burnish.core.hyperparameters.declared import argument_hints

if TYPE_CHECKING:
    from torch import nn


class ClassVariant:
    """A class whose name begins as that of class variables does."""


def test_names_that_only_type_checkers_import_leave_the_other_annotations_known() -> (
    None
):
    class Net:
        def __init__(self, width: int, inner: "nn.Module") -> None: ...

    hints = argument_hints(typing.cast("type[nn.Module]", Net))

    assert set(annotations_of(Net.__init__)) == {"width", "inner", "return"}
    assert hints["width"] is int
    assert unresolved(hints["inner"]) == "nn.Module"


def test_annotations_of_a_wrapper_are_read_where_the_wrapped_function_stands() -> None:
    elsewhere: dict[str, Any] = {}
    exec("class Part: ...\ndef f(a: 'Part', b: 'Nowhere'): ...", elsewhere)
    wrapper = functools.wraps(elsewhere["f"])(lambda *_: None)

    assert known_hints(wrapper) == {"a": elsewhere["Part"], "b": Any}


def test_a_class_keeps_what_its_parents_annotate_beside_an_unknown_name() -> None:
    class Parent:
        width: "int"
        inner: "nn.Module"

    class Child(Parent):
        depth: "ClassVariant"

    hints = {"width": int, "inner": Any, "depth": ClassVariant}
    assert known_hints(Child) == hints


def test_a_field_of_a_reserved_name_is_safe_beside_names_for_type_checkers() -> None:
    class Sizes(Hparams):
        keys: int = 1  # type: ignore[assignment]  # hides the method on purpose
        values: ClassVar[int] = 2  # type: ignore[assignment]  # hides the method on purpose

    assert Sizes(keys=3)["keys"] == 3
    assert Sizes.values == 2
    assert callable(Sizes().keys)


def test_what_is_put_for_annotations_replaces_those_not_evaluated_yet() -> None:
    namespace: dict[str, Any] = {"__annotations__": {"a": int}, "__annotate__": None}

    annotate(namespace, {"b": annotations_in(namespace)["a"]})

    assert namespace == {"__annotations__": {"b": int}}
    assert annotations_in({}) == {}


@pytest.mark.parametrize(
    "hint", [ClassVar, ClassVar[int], "ClassVar[int]", "t.ClassVar", "ClassVar"]
)
def test_class_variables_are_told_from_fields_evaluated_or_not(hint: Any) -> None:
    assert is_class_variable(hint)


@pytest.mark.parametrize(
    "hint", [ClassVariant, "ClassVariant", int, list[int], "list[ClassVar]"]
)
def test_fields_are_no_class_variables(hint: Any) -> None:
    assert not is_class_variable(hint)


def test_a_config_of_names_for_type_checkers_says_where_they_must_be() -> None:
    class Model(Hparams):
        inner: "nn.Module | None" = None

    @dataclasses.dataclass
    class Struct:
        inner: "nn.Module | None" = None

    for cls in (Model, Struct):
        with pytest.raises(
            TypeError, match=r"'nn' .* outside of .* `if TYPE_CHECKING`"
        ):
            load(cls, None)
