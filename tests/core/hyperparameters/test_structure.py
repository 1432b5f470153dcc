"""What is changed by hand in a module that was built is told by path."""

import copy
import pickle
from typing import Any

from torch import nn

import burnish
from burnish.core.hyperparameters.structure import is_lasting, note_of_changes
from burnish.core.modules.tree import places_of


@burnish.module
class Net(nn.Module):
    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p = p
        self.drops = nn.ModuleList(nn.Dropout(p) for _ in range(3))
        self.head = nn.Linear(2, 2)


def changes_of(net: nn.Module) -> Any:
    return note_of_changes(net, places_of(net)).get("__changed__", [])


def test_a_module_as_its_constructor_left_it_has_no_changes() -> None:
    net = Net()

    for same in (net, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert changes_of(same) == []


def test_attributes_that_were_changed_alike_are_told_once() -> None:
    net: Any = Net()
    for drop in net.drops:
        drop.p = 0.5

    ((paths, node),) = changes_of(net)

    assert paths == ["drops.0", "drops.1", "drops.2"]
    assert node["__name__"] == "Dropout"
    assert node["attributes"] == {"p": 0.5}


def test_a_part_that_was_exchanged_is_told_by_its_class() -> None:
    net = Net()
    net.head = nn.Bilinear(2, 2, 2)  # type: ignore[assignment]  # that is the change

    ((paths, node),) = changes_of(net)

    assert paths == ["head"]
    assert node["__name__"] == "Bilinear"


def test_a_part_that_was_removed_is_an_empty_node() -> None:
    net = Net()
    del net.head

    assert changes_of(net) == [[["head"], {}]]


def test_only_values_that_cannot_change_are_compared_later() -> None:
    assert is_lasting((1, "a", (None, len)))
    assert not is_lasting((1, []))
