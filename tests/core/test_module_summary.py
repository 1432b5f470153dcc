"""A module at a glance: counts, shared and lazy tensors, and how it is shown."""

from typing import Any

import pytest
import torch
from tests.wrapper_tensor import Int8
from torch import nn

import burnish


class Net(nn.Module):
    """Shared, frozen, lazy parameters, and buffers of both kinds."""

    def __init__(self, *, lazy: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 10)
        self.head.weight = self.embed.weight
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("mask", torch.ones(3), persistent=False)
        if lazy:
            self.out = nn.LazyLinear(2)


def test_shared_parameters_are_counted_once_and_those_that_are_trained_apart() -> None:
    net = Net()
    burnish.freeze(net, "norm.*")

    n_all = sum(p.numel() for p in net.parameters())
    assert burnish.num_params(net) == n_all == 40 + 8 + 10 + 1
    assert burnish.num_params(net, burnish.trainable) == n_all - 8
    assert burnish.num_params(net, "head.**") == 50
    assert burnish.num_params(net, ["head.*", "embed.*"]) == 50


def test_views_of_one_memory_are_counted_once_and_meta_tensors_by_their_shape() -> None:
    net = nn.ParameterList([torch.ones(4), torch.ones(4)])
    net[1] = nn.Parameter(net[0].data)

    with torch.device("meta"):
        on_meta = Net()

    assert burnish.num_params(net) == 4
    assert burnish.num_params(on_meta) == 59
    assert burnish.num_params(nn.ReLU()) == 0


def test_a_parameter_without_shape_is_named_and_others_can_be_counted() -> None:
    net = Net(lazy=True)

    with pytest.raises(ValueError, match=r"out\.weight has no shape yet.*net\(example"):
        burnish.num_params(net)
    assert burnish.num_params(net, "head.*") == 50
    assert "2 uninitialized, not counted" in str(burnish.summary(net))


def test_a_summary_shows_ids_shapes_counts_and_what_is_unusual() -> None:
    net = Net(lazy=True)
    burnish.freeze(net, "norm.weight")
    ids = {param.path: param.id for param in burnish.named_params(net)}

    lines = str(burnish.summary(net)).splitlines()

    words = [line.split() for line in lines]
    assert ["weight", "10x4", "float32", "40", ids["embed.weight"]] in words
    assert ["weight", "10x4", "float32", ids["embed.weight"], "is", "embed.weight"] in (
        words
    )
    assert ["weight", "4", "float32", "4", ids["norm.weight"], "frozen"] in words
    assert ["scale", "scalar", "float32", "1", ids["scale"]] in words
    assert ["running_mean", "4", "float32", "4", "buffer"] in words
    assert ["embed:", "Embedding", "40"] in words
    assert any("mask" in line and "not in state dicts" in line for line in lines)
    assert any("out" not in line and "its shape depends on" in line for line in lines)
    assert lines[-1].split("; ")[0].strip() == "59 parameters: 55 trainable, 4 frozen"


def test_a_summary_has_its_numbers_as_attributes() -> None:
    net = Net()
    burnish.freeze(net, "norm.*")

    summary = burnish.summary(net)

    assert (summary.n_params, summary.n_trainable, summary.n_buffers) == (59, 51, 12)
    shared = [row.path for row in summary.rows if row.shared_with == "embed.weight"]
    assert shared == ["head.weight"]


def test_layers_below_a_depth_are_folded_into_their_counts() -> None:
    net = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 1))

    whole, folded = str(burnish.summary(net)), str(burnish.summary(net, depth=1))

    assert [line.split() for line in folded.splitlines()[1:4]] == [
        ["Sequential", "9"],
        ["0:", "Sequential", "6"],
        ["1:", "Linear", "3"],
    ]
    assert len(whole.splitlines()) == 11
    with pytest.raises(ValueError, match="depth must be at least 0"):
        burnish.summary(net, depth=-1)


def test_wrapped_modules_look_like_the_module() -> None:
    net = Net()
    plain = str(burnish.summary(net))
    compiled: Any = torch.compile(net, backend="eager")

    assert str(burnish.summary(compiled)) == plain
    assert str(burnish.summary(nn.DataParallel(net))) == plain
    assert burnish.num_params(compiled) == 59


def test_notebooks_get_the_same_rows_and_names_are_never_markup() -> None:
    net = nn.ModuleDict({"[bold]<b>": nn.Linear(2, 2)})

    html = burnish.summary(net)._repr_html_()  # pyright: ignore[reportPrivateUsage]  # what notebooks call

    assert html.startswith("<pre")
    assert "[bold]&lt;b&gt;: Linear" in html
    assert "<b>" not in html


def test_rich_prints_it_as_a_table() -> None:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(burnish.summary(Net()))

    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert len(lines) == len(str(burnish.summary(Net())).splitlines())
    assert any("embed: Embedding" in line for line in lines)


def test_what_is_no_module_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"summary: .*Linear is a class"):
        burnish.summary(nn.Linear)  # type: ignore[arg-type]  # the point


def test_a_weight_that_wraps_others_is_one_parameter_in_every_count() -> None:
    net = nn.Linear(4, 3)
    quantized = Int8.of(torch.randn(3, 4))
    net.weight = nn.Parameter(quantized, requires_grad=False)

    summary = burnish.summary(net)

    assert summary.n_params == burnish.num_params(net) == 15
    assert summary.n_trainable == 3
    assert summary.n_buffers == 0
    assert [row.n_bytes for row in summary.rows] == [12 + 3 * 4, 3 * 4]
