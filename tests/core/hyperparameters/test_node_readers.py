"""Nodes that say more than a call of a class: who registered for them reads them."""

import json
import subprocess
import sys
from typing import Any

from torch import nn

from burnish import from_hyperparameters, get_hparams
from burnish.core.blueprint import Blueprint
from burnish.core.hyperparameters.node_readers import node_reader, register_node_reader

_READS_A_BLUEPRINT = """
import json, sys
from burnish.core.hyperparameters.reader import from_hyperparameters

assert not any(name.startswith("burnish.core.blueprint") for name in sys.modules)
print(from_hyperparameters(json.load(sys.stdin))[0].bias)
"""


def test_a_program_that_imports_no_blueprints_reads_those_in_a_file() -> None:
    blueprint = Blueprint(nn.Sequential, Blueprint(nn.Linear, 2, 3))
    blueprint.configure("0", bias=False)

    answer = subprocess.run(
        [sys.executable, "-c", _READS_A_BLUEPRINT],
        input=json.dumps(get_hparams(blueprint.build())),
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.strip() == "None"


def test_a_registered_reader_builds_the_module_of_its_key() -> None:
    node = get_hparams(nn.Linear(2, 3))

    register_node_reader("__doubled__", lambda cls, node: cls(2, 6))
    module: Any = from_hyperparameters({**node, "__doubled__": True})

    assert module.out_features == 6
    assert node_reader(node) is None
