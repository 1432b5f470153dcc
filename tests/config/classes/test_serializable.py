"""Serializable: both signatures of ``deserialize``, and what they are given."""

from typing import Any

import pytest

from burnish.config import Serializable
from burnish.config.classes.field_types import deserialized


class OfAll(Serializable):
    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def serialize(self) -> Any:
        return {}

    @classmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> "OfAll":
        return cls(data, config, state, ctx)


class OfCtx(Serializable):
    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def serialize(self) -> Any:
        return {}

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "OfCtx":
        return cls(data, ctx)


def test_the_longer_signature_gets_config_and_state_beside_ctx() -> None:
    obj = deserialized(OfAll, 1, {"a": 2}, config=3, state=4)

    assert obj.arguments == (1, 3, 4, {"a": 2})


def test_the_shorter_signature_gets_all_of_it_in_ctx() -> None:
    obj = deserialized(OfCtx, 1, {"a": 2}, config=3, state=4)

    assert obj.arguments == (1, {"a": 2, "config": 3, "state": 4})


def test_a_class_that_wants_no_ctx_gets_the_data_alone() -> None:
    class OfData(OfAll):
        @classmethod
        def deserialize(cls, data: Any) -> "OfData":  # type: ignore[override]  # short
            return cls(data)

    assert deserialized(OfData, 1, {"a": 2}, config=3).arguments == (1,)


def test_what_is_not_there_is_not_in_ctx() -> None:
    assert deserialized(OfCtx, 1, {}).arguments == (1, {})


def test_an_object_of_another_class_is_refused() -> None:
    class Wrong(OfAll):
        @classmethod
        def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> Any:
            return None  # as of load_state_dict

    with pytest.raises(TypeError, match=r"Wrong\.deserialize returned a NoneType"):
        deserialized(Wrong, 1, {})


def test_train_has_the_same_class() -> None:
    from burnish.train import Serializable as OfTrain

    assert OfTrain is Serializable
