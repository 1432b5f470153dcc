"""Annotations of classes and functions, and of the bodies of classes."""

import typing
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from burnish.config.classes.annotations import (
    annotate,
    annotations_in,
    annotations_of,
    is_class_variable,
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
    assert (hints["width"], hints["inner"]) == (int, Any)


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
