"""Rules are given the values of a blueprint as they are given those of a module."""

import json
from typing import Any

import pytest
import torch
from torch import nn

from burnish import module
from burnish.config import AddDefault, MapFieldValue, RenameField
from burnish.core.blueprint import Blueprint


def sized(**versions: Any) -> Any:
    @module(name="tests/ruled_arguments/net", **versions)
    class Net(nn.Module):
        def __init__(self, size: Any = None, shape: Any = None) -> None:
            super().__init__()
            self.size, self.shape = size, shape

    return Net


VALUES = [
    (5, 6),
    [(1, 2), 3],
    {"a": (1, float("inf"))},
    float("-inf"),
    {1, 2},
    torch.float16,
    torch.device("cpu"),
    "text",
    {1: 2, "__tuple__": 3},
]


@pytest.mark.parametrize("value", VALUES[:-1], ids=repr)
@pytest.mark.parametrize("is_configured", [False, True])
def test_a_function_is_given_the_same_of_a_blueprint_as_of_a_record(
    value: Any, is_configured: bool
) -> None:
    old = sized()
    record = old(value).save_record()
    data = Blueprint(old, value).to_dict()
    if is_configured:
        data = Blueprint(old).configure(size=value).to_dict()
    given: list[Any] = []

    def noted(argument: Any) -> Any:
        given.append(argument)
        return argument

    new = sized(version=1, upgrade_rules={0: [MapFieldValue("size", noted)]})
    of_record = new.from_record(record)
    given_of_record = given[-1]
    reopened = Blueprint.from_dict(json.loads(json.dumps(data)), new).create()

    assert given[-1] == given_of_record
    assert reopened.size == value == of_record.size
    assert type(reopened.size) is type(value)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_a_rule_does_not_compute_stays_what_it_is(value: Any) -> None:
    data = Blueprint(sized(), value).to_dict()
    rules = [RenameField("size", "shape"), AddDefault("size", (3, 3))]

    new = sized(version=1, upgrade_rules={0: rules})
    reopened = Blueprint.from_dict(json.loads(json.dumps(data)), new).create()

    assert (reopened.shape, reopened.size) == (value, (3, 3))


def test_a_list_that_a_function_makes_of_a_tuple_is_a_tuple() -> None:
    data = Blueprint(sized(), (5, 6)).to_dict()
    rule = MapFieldValue("size", lambda size: [*size, len(size)])

    new = sized(version=1, upgrade_rules={0: [rule]})

    assert Blueprint.from_dict(data, new).create().size == (5, 6, 2)
