"""Every argument is of its type, or refused with what would have worked."""

from typing import Any

import pytest
from torch import nn

from burnish.optim import (
    NORMS,
    AdamW,
    Group,
)

from .nets import bound


@pytest.mark.parametrize("types", [nn.LayerNorm, NORMS])
def test_a_group_takes_types_where_it_takes_patterns(types: Any) -> None:
    adaptor = bound(AdamW(), groups=[Group(types, weight_decay=0.0)])

    assert [len(g["params"]) for g in adaptor.param_groups] == [4, 2]
    assert adaptor.param_groups[1]["weight_decay"] == 0.0


def test_a_group_of_torch_is_told_that_groups_name_parameters_by_pattern() -> None:
    net = nn.Linear(2, 2)
    groups: Any = [{"params": net.parameters(), "weight_decay": 0.0}]

    with pytest.raises(TypeError, match=r"got a dict\. A group names .*Group\('\*\*\."):
        AdamW().bind(net, lr=0.1, groups=groups)
