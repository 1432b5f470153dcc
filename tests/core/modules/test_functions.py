"""Files name functions as they name classes: what is known decides."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # as everybody does
from torch import nn

import burnish
from burnish.core.errors import UnknownClassError
from burnish.core.modules.functions import function_named, function_names
from burnish.records import RecordMismatchError
from burnish.records.entries.entries import with_parts

ACTIVATIONS: list[Callable[..., Any]] = [
    *(F.gelu, F.relu, F.silu, F.tanh, F.hardswish, F.relu_, F.max_pool2d),
    *(torch.relu, torch.tanh, torch.sigmoid, torch.sin, torch.relu_),
    *(torch.special.erf, torch.linalg.norm, nn.init.xavier_uniform_),
    nn.init.trunc_normal_,
]


def swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


def cube(x: torch.Tensor) -> torch.Tensor:
    return x**3


burnish.register_function(swish)


class Net(burnish.Module):
    def __init__(self, act: Callable[..., Any] = F.gelu, acts: Any = ()) -> None:
        super().__init__()
        self.act, self.acts = act, acts
        self.lin = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.act(self.lin(x))
        return output


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_a_function_of_torch_is_known_by_its_public_name(
    function: Callable[..., Any],
) -> None:
    names = function_names(function)

    assert names is not None
    assert function_named(names) is function


@pytest.mark.parametrize(
    "function",
    [
        *(F.gelu, torch.tanh, swish),
        functools.partial(F.leaky_relu, negative_slope=0.25),
        functools.partial(swish),
    ],
)
@pytest.mark.parametrize("name", ["net.mpk", "net.json", "net.safetensors"])
def test_a_module_with_a_function_comes_back_from_its_record_alone(
    tmp_path: Path, name: str, function: Callable[..., Any]
) -> None:
    net, x = Net(function, (F.relu, swish)), torch.randn(3, 2)
    net.save_record(tmp_path / name)

    again = Net.from_record(tmp_path / name)

    assert torch.equal(again(x), net(x))
    assert again.acts == (F.relu, swish)
    assert again.hparams == net.hparams
    rebuilt: Any = burnish.from_hyperparameters(net.hparams)
    assert rebuilt.acts == net.acts


def test_a_module_with_another_function_is_refused() -> None:
    data = Net(F.relu).save_record()

    with pytest.raises(RecordMismatchError, match=r"act: stored relu, .* has silu"):
        Net(F.silu).load_record(data)
    with pytest.raises(RecordMismatchError, match="act: stored relu"):
        Net(functools.partial(F.relu, inplace=True)).load_record(data)
    assert Net(F.relu).load_record(data).missing == []


def test_a_file_from_when_functions_had_only_a_name_loads() -> None:
    record = Net(F.relu).into_record()
    ours = record.metadata["burnish"]
    hparams = {k: v for k, v in ours["hparams"].items() if k != "act"}
    hparams["__unstored__"] = {"act": "the function torch.nn.functional.relu"}
    old_record = with_parts(record, metadata={"burnish": {**ours, "hparams": hparams}})

    assert Net(F.relu).load_record(old_record).changed == []
    with pytest.raises(RecordMismatchError, match=r"act: stored the function .*relu"):
        Net(F.silu).load_record(old_record)


def test_a_default_function_that_became_another_is_told() -> None:
    data = Net().save_record()

    assert Net.from_record(data).act is F.gelu
    assert Net().load_record(data).changed == []
    with pytest.raises(RecordMismatchError, match=r"act: stored gelu, .* has silu"):
        Net(F.silu).load_record(data)


def test_a_blueprint_with_functions_is_stored_and_built() -> None:
    partial = functools.partial(F.elu, alpha=0.5)
    blueprint = Net.blueprint(act=swish, acts=[partial, torch.sin])

    again: Any = burnish.core.blueprint.Blueprint.from_dict(blueprint.to_dict())
    net: Any = again.build()

    assert net.act is swish
    assert net.acts[1] is torch.sin
    assert (net.acts[0].func, net.acts[0].keywords) == (F.elu, {"alpha": 0.5})


def test_a_function_of_the_program_is_unknown_until_it_is_registered() -> None:
    def late(x: torch.Tensor) -> torch.Tensor:
        return x

    with pytest.raises(TypeError, match=r"act: .*burnish\.register_function"):
        _ = Net(cube).hparams
    with pytest.raises(TypeError, match="cannot be found by its name"):
        burnish.register_function(late)

    burnish.register_function(late, name="tests/late")

    assert function_named({"__registered__": "tests/late"}) is late
    assert Net.from_record(Net(late).save_record()).act is late


@pytest.mark.parametrize(
    "names",
    [
        *(("torch", "load"), ("torch", "save"), ("torch", "compile")),
        *(("torch", "from_file"), ("torch", "set_default_device")),
        *(("os", "system"), ("builtins", "eval"), ("torch.nn.functional", "gleu")),
        (__name__, "cube"),
    ],
)
def test_a_file_names_no_function_but_known_ones(names: tuple[str, str]) -> None:
    node: dict[str, Any] = {"__module__": names[0], "__name__": names[1]}

    with pytest.raises(UnknownClassError, match="Loading a file imports nothing"):
        function_named(node, "act")


@pytest.mark.parametrize("value", [nn.ReLU, nn.ReLU(), 3, "gelu"])
def test_only_functions_are_registered_as_such(value: Any) -> None:
    with pytest.raises(TypeError, match="register_function takes functions"):
        burnish.register_function(value)


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ({"__function__": 3}, "expected a function"),
        ({"__function__": {}, "x": 1}, "expected a function"),
        (
            {
                "__function__": {
                    "__module__": "torch.nn.functional",
                    "__name__": "elu",
                    "keywords": {"alpha": [1]},
                }
            },
            r"act\.keywords: expected numbers and strings",
        ),
    ],
)
def test_damaged_functions_are_refused_by_path(node: Any, problem: str) -> None:
    hparams = {**Net(F.relu).hparams, "act": node}

    with pytest.raises(burnish.core.errors.HyperparameterError, match=problem):
        burnish.from_hyperparameters(hparams)


def test_partials_keep_plain_keywords_alone() -> None:
    for partial in (
        functools.partial(F.elu, torch.ones(1)),
        functools.partial(F.gelu, approximate=torch.ones(1)),  # type: ignore[arg-type]  # the test
    ):
        with pytest.raises(TypeError, match=r"act: .*numbers and strings, by keyword"):
            _ = Net(partial).hparams
