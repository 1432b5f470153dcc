"""Hyperparameters become a plan: what is wrong in them is refused by its path."""

import json
import pickle
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from burnish.core import (
    Module,
    from_hyperparameters,
    get_hparams,
)
from burnish.core.errors import HyperparameterError
from burnish.core.hyperparameters.hparams_node import MARKS
from burnish.records.tensors.dtypes import ALL as DTYPES

from .models import Counted, Holds, Net, Pair, again


@pytest.mark.parametrize("value", ["os", "posix", "torch.nn.modules.module"])
def test_what_is_no_module_is_refused(value: str) -> None:
    with pytest.raises(HyperparameterError, match="not known here"):
        from_hyperparameters({"__module__": value, "__name__": "system"})


def test_the_class_in_hand_is_trusted_wherever_it_was() -> None:
    hparams = json.loads(
        json.dumps(Pair(Net(3), Net(4)).hparams).replace(Net.__module__, "gone")
    )

    made = Pair.from_hyperparameters(hparams)

    assert isinstance(made.left, Net)
    with pytest.raises(HyperparameterError, match="first import the module"):
        from_hyperparameters(hparams)


def test_the_class_in_hand_needs_no_header() -> None:
    assert Counted.from_hyperparameters({"size": 3}).hparams["size"] == 3
    assert Net.from_hyperparameters(Net.Hparams(a=5)).lin.in_features == 5


def test_hyperparameters_of_another_class_are_refused() -> None:
    with pytest.raises(HyperparameterError, match="of Pair, not of Counted"):
        Counted.from_hyperparameters(Pair(nn.ReLU(), nn.ReLU()).hparams)


class Legacy(Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @classmethod
    def from_hyperparameters(cls, hparams: Any) -> Any:
        return cls(hparams.get("width") or hparams["size"])


def test_a_class_that_reads_hyperparameters_itself_does() -> None:
    node = {"__module__": __name__, "__name__": "Legacy", "size": 7}

    assert from_hyperparameters(node).width == 7
    made: Any = again(Pair(Legacy(3), Legacy(4)))
    assert (made.left.width, made.right.width) == (3, 4)


def test_a_module_deeper_than_any_is_refused_not_crashed() -> None:
    deep: nn.Module = nn.ReLU()
    for _ in range(2000):
        deep = nn.Sequential(deep)
    node: Any = {"__module__": "torch.nn", "__name__": "ReLU"}
    for _ in range(5000):
        node = {"__module__": "torch.nn", "__name__": "Sequential", "args": [node]}

    with pytest.raises(HyperparameterError, match="nested over"):
        get_hparams(deep)
    with pytest.raises(HyperparameterError, match="nested"):
        from_hyperparameters(node)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def holds(value: Any, words: Collection[str]) -> bool:
    """Return whether any text in ``value``, a key or not, is one of ``words``."""
    if isinstance(value, dict):
        items: dict[str, Any] = value
        return any(holds(text, words) for pair in items.items() for text in pair)
    if isinstance(value, list):
        return any(holds(item, words) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return isinstance(value, str) and value in words


# Hypothesis draws texts of the source too, and these mean something else.
@given(value=JSON.filter(lambda value: not holds(value, {*MARKS, *DTYPES})))
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    assert again(Holds(value)).value == value


@pytest.mark.parametrize("key", sorted(MARKS))
def test_a_dict_that_would_read_as_a_module_is_refused(key: str) -> None:
    with pytest.raises(TypeError, match=f"key '{key}', which would be read back as"):
        get_hparams(Holds({key: None}))


@given(node=JSON)
def test_no_json_makes_the_reader_crash(node: Any) -> None:
    with pytest.raises(HyperparameterError):
        from_hyperparameters(node)
    for name, found in [("value", node), ("more", node), ("__containers__", node)]:
        hparams = {**get_hparams(Holds(1)), name: found}
        with suppress(HyperparameterError):
            from_hyperparameters(hparams)


def test_errors_pickle() -> None:
    error = HyperparameterError("a.b", "is wrong")

    assert str(pickle.loads(pickle.dumps(error))) == "a.b: is wrong"
