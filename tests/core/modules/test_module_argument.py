"""Every verb says in words what to call for what is not a module."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core import get_hparams, into_record, load_record, map_params, named_params
from burnish.records import Record


@burnish.module
class Net(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.lin = nn.Linear(3, width)


VERBS: dict[str, Callable[[Any], Any]] = {
    "save_record": lambda value: burnish.save_record(value, "net.mpk"),
    "into_record": into_record,
    "load_record": lambda value: load_record(value, b""),
    "save_pretrained": lambda value: burnish.save_pretrained(value, "folder"),
    "get_hparams": get_hparams,
    "named_params": lambda value: list(named_params(value)),
    "map_params": lambda value: map_params(value, lambda _: None),
}

NO_MODULES: dict[str, tuple[Any, str]] = {
    "a file": ("net.mpk", r"The module comes first: \w+\(module, \.\.\.\)"),
    "a state dict": (Net().state_dict(), r"Record\.from_state_dict\(state_dict\)"),
    "several modules": ({"model": Net()}, r"burnish\.Checkpoints"),
    "an optimizer": (torch.optim.SGD(Net().parameters()), r"optimizer\.save_record"),
    "a class": (Net, r"Net is a class: build a module, Net\(\.\.\.\)"),
    "parameters": (list(Net().parameters()), "Pass the module itself"),
    "nothing": (None, "is a NoneType, expected a module"),
}


SAVED_AS_DATA = {"a state dict", "several modules", "parameters"}


@pytest.mark.parametrize("kind", NO_MODULES)
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_no_module_is_told_what_to_call_instead(verb: str, kind: str) -> None:
    if verb == "save_record" and kind in SAVED_AS_DATA:
        return
    value, cure = NO_MODULES[kind]

    with pytest.raises(TypeError, match=f"^{verb}: the first argument.*{cure}"):
        VERBS[verb](value)


def test_a_record_is_loaded_second() -> None:
    record = Record.from_state_dict(Net().state_dict())

    with pytest.raises(TypeError, match=r"The module comes first: load_record"):
        load_record(record, Net())  # type: ignore[arg-type]  # the test


@pytest.mark.parametrize(
    "verb", ["save_record", "load_record", "into_record", "save_pretrained"]
)
def test_a_method_of_modules_that_is_called_on_the_class_says_so(verb: str) -> None:
    call: Any = getattr(Net, verb)

    with pytest.raises(TypeError, match=f"{verb} is a method of modules.*from_record"):
        call("net.mpk")
    with pytest.raises(TypeError, match=f"net.{verb}"):
        call()


def test_a_method_may_be_called_on_the_class_with_a_module() -> None:
    module: Any = Net()

    assert Net.save_record(module) == module.save_record()  # type: ignore[attr-defined]  # added by the decorator


def test_from_record_with_a_built_module_names_load_record() -> None:
    data = burnish.save_record(Net())

    with pytest.raises(
        TypeError, match=r"a Net that is already built.*load_record\(module"
    ):
        burnish.from_record(Net(), data)
    with pytest.raises(TypeError, match=r"first argument is a bytes.*then the file"):
        burnish.from_record(data, Net)  # type: ignore[arg-type]  # the test
