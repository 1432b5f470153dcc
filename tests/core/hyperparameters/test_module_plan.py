"""Constructors run once each, after everything was checked."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.core import (
    from_hyperparameters,
    get_hparams,
)
from burnish.core.blueprint import Blueprint
from burnish.core.errors import HyperparameterError

from ... import fresh_processes
from .models import Counted, Pair


@burnish.module
class Crowded(nn.Module):
    """A module for whose parameters a device has no memory."""

    def __init__(self, is_full: bool = False) -> None:
        super().__init__()
        if is_full:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    "build",
    [
        lambda: from_hyperparameters({"is_full": True}, Crowded),
        lambda: Blueprint(Crowded).configure(is_full=True).build(),
    ],
)
def test_a_device_that_is_full_is_no_fault_of_the_arguments(build: Any) -> None:
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        build()


def test_a_fresh_process_builds_the_same_from_the_dict(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        textwrap.dedent("""
            import burnish.core, torch
            from torch import nn

            @burnish.core.module
            class Block(nn.Module):
                def __init__(self, width, *, act=nn.ReLU):
                    super().__init__()
                    self.lin, self.act = nn.Linear(width, width), act()

            @burnish.core.module
            class Net(nn.Module):
                def __init__(self, head, sizes=(2, 3), dtype=torch.float64):
                    super().__init__()
                    self.head = head
                    self.blocks = nn.ModuleList(Block(n, act=nn.Tanh) for n in sizes)
                    self.to(dtype)
        """)
    )
    make = (
        "import json, net, torch; n = net.Net(torch.nn.Linear(3, 1), sizes=(4, 5, 6))"
    )
    show = (
        "forms = [(k, list(v.shape), str(v.dtype)) for k, v in n.state_dict().items()];"
        "print(json.dumps([n.hparams, repr(n), forms]))"
    )
    first = run(tmp_path, f"{make}; {show}")
    remake = (
        "import json, sys, net, burnish.core; "
        "n = burnish.core.from_hyperparameters(json.loads(sys.stdin.read())[0])"
    )

    second = run(tmp_path, f"{remake}; {show}", first)

    assert json.loads(second) == json.loads(first)
    assert json.loads(first)[0]["__module__"] == "net"


def run(folder: Path, code: str, text: str = "") -> str:
    program = ("-W", "error", "-c", code)
    return fresh_processes.run(*program, cwd=folder, text=text, check=True).stdout


def test_the_constructor_runs_once_per_module() -> None:
    net = Counted(Counted(Counted(), size=3), Counted())
    hparams = get_hparams(net)
    Counted.built = 0

    from_hyperparameters(hparams)

    assert Counted.built == 4


def test_what_a_constructor_refuses_is_told_with_its_path() -> None:
    hparams = get_hparams(Pair(nn.ReLU(), nn.Conv2d(4, 4, 1, groups=2)))
    hparams["right"]["groups"] = 3

    with pytest.raises(HyperparameterError, match=r"right: Conv2d cannot .*divisible"):
        from_hyperparameters(hparams)


def test_nothing_is_built_before_everything_was_found_good() -> None:
    hparams = get_hparams(Counted(Counted(), Counted()))
    hparams["children"][1]["__name__"] = "system"
    Counted.built = 0

    with pytest.raises(HyperparameterError, match=r"children\.1: .*system"):
        from_hyperparameters(hparams)

    assert Counted.built == 0
