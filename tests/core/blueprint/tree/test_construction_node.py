import gc
import weakref

import torch
from torch import nn

from burnish.core.blueprint.tree.construction_node import (
    ConstructionNode,
    describe_value,
    is_repeatable,
    tree_difference,
)


def sequence(*layers: type[nn.Module]) -> ConstructionNode:
    children = [ConstructionNode(cls, paths=(str(i),)) for i, cls in enumerate(layers)]
    return ConstructionNode(nn.Sequential, paths=("",), children=children)


def test_trees_that_are_alike_have_no_difference() -> None:
    tree = sequence(nn.Linear, nn.ReLU)

    assert tree_difference(tree, tree.copy()) is None


def test_the_first_difference_of_two_trees_is_named_with_its_path() -> None:
    difference = tree_difference(
        sequence(nn.Linear, nn.ReLU, nn.GELU), sequence(nn.Linear, nn.Tanh)
    )

    assert difference == (
        "1",
        "ReLU at 1 was built in the first run, Tanh at 1 in the second run",
    )


def test_a_construction_that_only_one_tree_has_is_named() -> None:
    difference = tree_difference(sequence(nn.Linear), sequence(nn.Linear, nn.ReLU))

    assert difference == ("1", "ReLU at 1 was built only in the second run")


def test_a_copy_of_a_tree_changes_by_itself() -> None:
    tree = sequence(nn.Linear, nn.ReLU)

    tree.copy().children[0].cls = nn.Identity

    assert tree.children[0].cls is nn.Module


def test_a_described_value_keeps_no_module_and_no_tensor_alive(
    quick_collections: None,
) -> None:
    layer, tensor = nn.Linear(2, 2), torch.zeros(3)
    references = weakref.ref(layer), weakref.ref(tensor)

    description = describe_value({"parts": [layer, 3], "weights": (tensor,)})
    del layer, tensor
    gc.collect()

    assert [reference() for reference in references] == [None, None]
    assert repr(description) == (
        "{'parts': [<Linear>, 3], 'weights': (<tensor of (3,)>,)}"
    )
    assert not is_repeatable(description)
    assert is_repeatable(describe_value({"width": [3, (4, None)]}))
