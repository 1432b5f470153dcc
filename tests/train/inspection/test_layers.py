"""Layers by their names, and how far their tensors moved together."""

import math

import pytest
import torch

from burnish.train.inspection.diff import diff
from burnish.train.inspection.layers import layer_of


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("model.layers.7.up.weight", "model.layers.7"),
        ("layers.3.experts.5.weight", "layers.3"),
        ("0.weight", "0"),
        ("head.weight", "head"),
        ("scale", "scale"),
        ("blocks.3", "blocks"),
    ],
)
def test_a_layer_goes_up_to_the_first_number(path: str, layer: str) -> None:
    assert layer_of(path) == layer


def test_a_layer_moved_by_the_norm_of_all_its_changes() -> None:
    a = {
        "h.0.w": torch.tensor([3.0, 4.0]),
        "h.0.b": torch.zeros(1),
        "h.1.w": torch.ones(2),
        "h.2.w": torch.ones(2),
    }
    b = {**a, "h.0.b": torch.tensor([1.0]), "h.1.w": torch.tensor([1.0, 3.0])}

    result = diff(a, b)

    first, second = result.layers
    assert (first.path, first.n_changed, first.n_tensors) == ("h.1", 1, 1)
    assert first.moved == pytest.approx(2 / math.sqrt(2))
    assert (second.path, second.n_changed, second.n_tensors) == ("h.0", 1, 2)
    assert second.moved == pytest.approx(1 / 5)
    assert result.equal == ["h.0.w", "h.2.w"]


def test_a_layer_that_was_zero_or_became_nan_moved_beyond_all() -> None:
    a = {"h.0.w": torch.zeros(2), "h.1.w": torch.ones(2)}
    b = {"h.0.w": torch.ones(2), "h.1.w": torch.tensor([1.0, math.nan])}

    assert [layer.moved for layer in diff(a, b).layers] == [math.inf, math.inf]


def test_a_layer_whose_tensors_lie_apart_is_one() -> None:
    a = {"h.0.w": torch.ones(2), "h.1.w": torch.ones(2), "h.0.b": torch.zeros(1)}
    b = {**a, "h.0.w": torch.tensor([1.0, 2.0]), "h.0.b": torch.ones(1)}

    result = diff(a, b)

    (layer,) = result.layers
    assert (layer.path, layer.n_changed, layer.n_tensors) == ("h.0", 2, 2)
    assert layer.moved == pytest.approx(1.0)
    moved = {change.path: change.moved for change in result.changed}
    assert moved["h.0.b"] == pytest.approx(1 / math.sqrt(2))
