"""Hyperparameters of an older version follow the rules, notes on arguments too."""

import pytest
from torch import nn

import burnish
from burnish.config import RenameField
from burnish.core.errors import HyperparameterError
from burnish.core.hyperparameters.upgrade import upgraded_node
from burnish.records import RecordVersionError


@burnish.module(version=1, upgrade_rules={0: [RenameField("shape", "size")]})
class Sized(nn.Module):
    def __init__(self, size: object = (1, 2)) -> None:
        super().__init__()


def test_an_argument_and_what_is_noted_of_it_get_the_new_name() -> None:
    node = {"__name__": "Sized", "shape": [1, 2], "__kinds__": {"shape": "tuple"}}

    upgraded = upgraded_node(Sized, node, "")

    assert upgraded["size"] == [1, 2]
    assert upgraded["__kinds__"] == {"size": "tuple"}
    assert "shape" in node


def test_what_was_written_by_hand_is_of_the_newest_version() -> None:
    node = {"shape": [1, 2]}

    assert upgraded_node(Sized, node, "") is node


def test_a_newer_version_or_none_is_refused() -> None:
    with pytest.raises(RecordVersionError, match="describes a Sized"):
        upgraded_node(Sized, {"__name__": "Sized", "__version__": 2}, "net")
    with pytest.raises(HyperparameterError, match="must be an int of at least 0"):
        upgraded_node(Sized, {"__name__": "Sized", "__version__": -1}, "net")


@burnish.module(
    version=1,
    upgrade_rules={
        0: [
            RenameField("width", "size"),
            RenameField("blocks.*", "layers.*.lin"),
            RenameField("head.lin", "head"),
        ]
    },
)
class Wrapped(nn.Module):
    def __init__(self, size: int = 8) -> None:
        super().__init__()


def test_rules_of_tensors_leave_descriptions_of_children_that_they_do_not_fit() -> None:
    lin = burnish.get_hparams(nn.Linear(2, 2))
    head = {"__name__": "Head", "lin": lin}
    node = {"__name__": "Wrapped", "width": 4, "blocks": [lin, lin], "head": head}

    upgraded = upgraded_node(Wrapped, node, "")

    assert upgraded == {
        "__name__": "Wrapped",
        "size": 4,
        "layers": [{"lin": lin}, {"lin": lin}],
        "head": head,
    }


def test_a_rule_that_does_not_fit_an_argument_is_an_error() -> None:
    node = {"__name__": "Wrapped", "width": 4, "size": 5, "blocks": []}

    with pytest.raises(HyperparameterError, match="size: already exists"):
        upgraded_node(Wrapped, node, "net")
