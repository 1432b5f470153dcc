# pyright: reportPrivateUsage=false
# Torch's hooks on all modules have a private home.
"""A layer that is copied is what its constructor would have made."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from burnish.core import skip_init
from burnish.core.state.uninitialized.build import UnfilledBuild
from burnish.core.state.uninitialized.layer_copies import LAYERS
from burnish.core.state.uninitialized.past_python import TORCH_COMPUTES

pytestmark = pytest.mark.usefixtures("poisoned_memory")

SHAPE: Any = (2, 3)
MAKERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: nn.Linear(3, 4),
    "Linear without bias": lambda: nn.Linear(3, 4, bias=False, dtype=torch.float64),
    "Bilinear": lambda: nn.Bilinear(2, 3, 4),
    "Embedding": lambda: nn.Embedding(5, 3),
    "Embedding with padding": lambda: nn.Embedding(5, 3, padding_idx=1),
    "EmbeddingBag": lambda: nn.EmbeddingBag(5, 3, mode="sum"),
    "PReLU": lambda: nn.PReLU(2, init=0.5),
    "LayerNorm": lambda: nn.LayerNorm(torch.Size((2, 3)), eps=1e-3),
    "LayerNorm of a tuple": lambda: nn.LayerNorm(SHAPE),
    "LayerNorm of a list": lambda: nn.LayerNorm([2, 3]),
    "LayerNorm without parameters": lambda: nn.LayerNorm(3, elementwise_affine=False),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "RMSNorm": lambda: nn.RMSNorm(3),
    "Conv1d": lambda: nn.Conv1d(2, 4, 3, padding="same"),
    "Conv2d": lambda: nn.Conv2d(2, 4, (3, 1), stride=2, padding=(1, 0)),
    "Conv3d": lambda: nn.Conv3d(2, 4, 1, groups=2, padding_mode="circular"),
    "ConvTranspose1d": lambda: nn.ConvTranspose1d(2, 4, 3),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(2, 4, 3, bias=False),
    "ConvTranspose3d": lambda: nn.ConvTranspose3d(2, 4, 1),
    "BatchNorm2d": lambda: nn.BatchNorm2d(3),
}


def test_every_layer_that_may_be_copied_is_tried() -> None:
    types: set[type[nn.Module]] = {type(make()) for make in MAKERS.values()}

    assert types.issuperset(LAYERS)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_copy_has_the_attributes_and_values_of_a_constructed_layer(
    make: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(1)
    expected = [make() for _ in range(3)]
    torch.manual_seed(1)

    with skip_init():
        layers = [make() for _ in range(3)]
        # What reads values sees those that the initializers write.
        values = [[p.detach().clone() for p in layer.parameters()] for layer in layers]

    assert_alike(layers, expected)
    for tensors, layer in zip(values, expected, strict=True):
        for value, parameter in zip(tensors, layer.parameters(), strict=True):
            assert torch.equal(value, parameter)


def assert_alike(layers: list[nn.Module], expected: list[nn.Module]) -> None:
    for layer, constructed in zip(layers, expected, strict=True):
        assert repr(layer) == repr(constructed)
        assert [*vars(layer)] == [*vars(constructed)]
        for name, value in vars(constructed).items():
            assert type(vars(layer)[name]) is type(value)
            if name not in ("_parameters", "_buffers"):
                assert vars(layer)[name] == value
        for parameter, other in zip(
            layer.parameters(), constructed.parameters(), strict=True
        ):
            assert type(parameter) is nn.Parameter
            assert parameter.requires_grad is other.requires_grad
            assert (parameter.shape, parameter.dtype) == (other.shape, other.dtype)
            assert parameter.stride() == other.stride()


def test_copies_share_nothing_that_can_change() -> None:
    with skip_init():
        first, second, third = (nn.Linear(3, 4) for _ in range(3))

    second.register_forward_hook(lambda *_: None)
    second.extra = nn.Parameter(torch.ones(1))

    for layer in (first, third):
        assert not layer._forward_hooks
        assert [*layer._parameters] == ["weight", "bias"]
    assert len({p.data_ptr() for p in (first.weight, second.weight, third.weight)}) == 3


def test_arguments_that_are_equal_and_not_the_same_make_layers_of_their_own() -> None:
    with skip_init():
        epsilons = [nn.LayerNorm(3, eps=eps).eps for eps in (0.0, -0.0, 0, 1, 1.0)]
        layers = [nn.Linear(3, 3, bias=bias) for bias in (True, False, True)]

    assert [repr(eps) for eps in epsilons] == ["0.0", "-0.0", "0", "1", "1.0"]
    assert [layer.bias is None for layer in layers] == [False, True, False]


def test_what_is_around_a_constructor_is_seen_by_each() -> None:
    with skip_init():
        single = nn.Linear(2, 2)
        torch.set_default_dtype(torch.float64)
        try:
            double = nn.Linear(2, 2)
        finally:
            torch.set_default_dtype(torch.float32)
        with torch.device("meta"):
            on_meta = [nn.Linear(2, 2) for _ in range(2)]
        again = nn.Linear(2, 2)

    assert (single.weight.dtype, double.weight.dtype) == (torch.float32, torch.float64)
    assert all(layer.weight.is_meta for layer in on_meta)
    assert (again.weight.dtype, again.weight.is_meta) == (torch.float32, False)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (nn.Linear, "reset_parameters"),
        (nn.Module, "__init__"),
        (nn.Module, "__setattr__"),
        (nn.Module, "register_parameter"),
        (nn.Parameter, "__new__"),
        (nn.init, "kaiming_uniform_"),
        (torch, "empty"),
        (sys.modules[nn.Linear.__module__], "Parameter"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("n_before", [0, 2])
def test_what_somebody_put_in_the_way_of_a_constructor_is_called_by_each(
    owner: Any, name: str, n_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    inner = getattr(owner, name)

    def patched(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return inner(*args, **kwargs)

    counts: list[int] = []
    with skip_init():
        for _ in range(n_before):
            nn.Linear(2, 2)
        monkeypatch.setattr(owner, name, patched)
        for _ in range(3):
            nn.Linear(2, 2)
            counts.append(len(calls))
        monkeypatch.undo()

    assert counts[0] > 0
    assert counts == [counts[0], 2 * counts[0], 3 * counts[0]]


def test_hooks_on_the_parameters_of_all_modules_run_for_each() -> None:
    names: list[str] = []

    def note(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        names.append(name)

    with skip_init():
        nn.Linear(2, 2)
        handle = register_module_parameter_registration_hook(note)
        try:
            _ = [nn.Linear(2, 2) for _ in range(3)]
        finally:
            handle.remove()

    assert names == ["weight", "bias"] * 3


class Scaled(nn.Linear):
    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, 2.0)
        self.scale = 3


def test_subclasses_are_constructed_by_their_own_code() -> None:
    with skip_init():
        _ = [nn.Linear(2, 2, bias=False) for _ in range(2)]
        layers = [Scaled(2, 2, bias=False) for _ in range(2)]
        assert [float(layer.weight.detach().sum()) for layer in layers] == [8.0, 8.0]

    assert [layer.scale for layer in layers] == [3, 3]


class Watching(torch.overrides.TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


def test_a_mode_of_the_users_sees_what_each_constructor_calls() -> None:
    counts: list[int] = []
    with skip_init():
        nn.Linear(2, 2)
        with Watching() as mode:
            for _ in range(3):
                nn.Linear(2, 2)
                counts.append(mode.names.count("empty"))

    assert counts == [2, 4, 6]


def test_a_constructor_that_raises_does_so_each_time() -> None:
    with skip_init():
        for _ in range(2):
            with pytest.raises(ValueError, match="divisible"):
                nn.Conv2d(3, 4, 1, groups=2)


def test_a_layer_that_is_constructed_again_gets_new_parameters() -> None:
    with skip_init():
        layer = nn.Linear(2, 2)
        first: Tensor = layer.weight
        nn.Linear.__init__(layer, 2, 2)

    assert layer.weight is not first


@pytest.mark.skipif(
    TORCH_COMPUTES,
    reason="with this torch a build is watched, and constructs each layer",
)
def test_the_first_layer_of_a_build_is_constructed_and_equal_ones_are_copies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied_shapes: list[tuple[int, ...]] = []
    inner = UnfilledBuild.parameter_like

    def noting(build: UnfilledBuild, form: Tensor, *args: Any) -> nn.Parameter:
        copied_shapes.append(tuple(form.shape))
        return inner(build, form, *args)

    monkeypatch.setattr(UnfilledBuild, "parameter_like", noting)
    with skip_init():
        _ = [nn.Linear(2, size) for size in (3, 3, 4, 3)]

    assert copied_shapes == [(3, 2), (3,)] * 2


@pytest.mark.parametrize(
    "construct",
    [
        lambda: nn.Linear(1, 1),
        lambda: nn.Linear(1, 3),
        lambda: nn.PReLU(),
        lambda: nn.LayerNorm(1),
        lambda: nn.Embedding(1, 1),
        lambda: nn.Conv2d(1, 1, 1),
    ],
)
def test_the_strides_of_copies_are_those_of_constructed_layers(
    construct: Callable[[], nn.Module],
) -> None:
    with skip_init():
        construct()
        copy = construct()

    strides = [parameter.stride() for parameter in construct().parameters()]
    assert [parameter.stride() for parameter in copy.parameters()] == strides
