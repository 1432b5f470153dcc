"""Layers of torch are edited without their makers, and equal ones as one."""

import pytest
from torch import nn

from burnish.core.blueprint.construction.draft import Draft
from burnish.core.blueprint.construction.leaf_cache import LeafCache
from burnish.core.blueprint.edits.edits import SetArguments
from burnish.core.blueprint.errors import ConstructionError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 3), nn.Linear(2, 3)
        self.attention = nn.MultiheadAttention(4, 2)


def set_arguments(path: str, **arguments: object) -> SetArguments:
    return SetArguments(target=path, arguments=arguments)


def test_a_layer_is_edited_and_the_node_in_the_tree_stays() -> None:
    node = Draft(Net, {}).nodes_by_path["a"]

    edited_node = LeafCache().edited_node(node, {}, set_arguments("a", bias=False))

    assert edited_node is not None
    assert edited_node.arguments["bias"] is False
    assert "bias" not in node.arguments


def test_equal_layers_share_one_edited_node() -> None:
    nodes, cache = Draft(Net, {}).nodes_by_path, LeafCache()
    edit = set_arguments("**", bias=False)

    edited_nodes = [cache.edited_node(nodes[path], {}, edit) for path in ("a", "b")]

    assert edited_nodes[0] is edited_nodes[1] is not None


def test_a_layer_that_makes_others_has_to_run_with_its_maker() -> None:
    node = Draft(Net, {}).nodes_by_path["attention"]

    edit = set_arguments("attention", bias=False)

    assert LeafCache().edited_node(node, {}, edit) is None


def test_what_the_constructor_refuses_is_told_with_the_path() -> None:
    node = Draft(Net, {}).nodes_by_path["a"]

    with pytest.raises(ConstructionError, match="a: the constructor of Linear raised"):
        LeafCache().edited_node(node, {}, set_arguments("a", out_features=-1))
