"""Only a module that its config can build again has a folder."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.core import (
    Module,
    from_pretrained,
    save_pretrained,
)
from burnish.core.errors import HyperparameterError

from .folders import output, trained


def test_a_module_that_was_changed_after_init_is_refused(tmp_path: Path) -> None:
    net = trained()
    net.layers[1] = nn.Linear(8, 9)
    net.adapter = nn.Linear(2, 2)
    del net.layers[3]

    with pytest.raises(HyperparameterError) as refused:
        net.save_pretrained(tmp_path / "run")

    message = str(refused.value)
    assert "layers.1.weight of shape (9, 8) instead of (8, 8)" in message
    assert "adapter.weight, which is new" in message
    assert "layers.3.weight, which is gone" in message
    assert "burnish.from_record(factory" in message
    assert not (tmp_path / "run").exists()


def test_a_parametrized_module_is_refused(tmp_path: Path) -> None:
    net = trained()
    nn.utils.parametrizations.weight_norm(net.layers[0])

    with pytest.raises(HyperparameterError, match="which is new"):
        net.save_pretrained(tmp_path)


def test_a_child_of_an_unknown_class_is_refused_with_the_cure(tmp_path: Path) -> None:
    class Foreign(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin = nn.Linear(1, 1)

    class Owner(Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.body = body

    with pytest.raises(HyperparameterError, match=r"body: .*register_class"):
        Owner(Foreign()).save_pretrained(tmp_path)


def test_layers_of_torch_have_folders_too(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    x = torch.ones(1, 2)

    save_pretrained(net, tmp_path)

    assert torch.equal(from_pretrained(tmp_path)(x), net(x))


def test_a_wrapped_module_is_saved_as_what_it_wraps(tmp_path: Path) -> None:
    net = trained()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, while its compiler is imported
        wrapped: Any = torch.compile(nn.DataParallel(net), backend="eager")

    save_pretrained(wrapped, tmp_path)

    assert torch.equal(output(from_pretrained(tmp_path)), output(net))
