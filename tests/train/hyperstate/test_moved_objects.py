"""States whose rules move objects that other objects name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish import module
from burnish.config import DeleteField, RenameField, Versioned
from burnish.config.rewriting.rewrite_rule import RewriteRule
from burnish.optim import AdamW
from burnish.records import RecordError
from burnish.train import HyperState, Lazy
from burnish.train.hyperstate.moved_objects import MovedObjects, marked_files

RENAME: list[RewriteRule] = [RenameField("a", "c")]
SWAP: list[RewriteRule] = [
    RenameField("a", "t"),
    RenameField("b", "a"),
    RenameField("t", "b"),
]
TAKE_OVER: list[RewriteRule] = [DeleteField("a"), RenameField("b", "a")]


@module(name="tests/moved_objects")
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)


@dataclass
class Config:
    width: int = 3


def class_of(
    names: str, rules: list[RewriteRule], base: type = Versioned, **more: Any
) -> Any:
    """Return a class of states with modules ``names`` and an optimizer."""

    class Rules:
        @classmethod
        def version(cls) -> int:
            return 1 if rules else 0

        @classmethod
        def upgrade_rules(cls) -> dict[int, list[RewriteRule]]:
            return {0: rules} if rules else {}

    annotations: dict[str, Any] = {"step": int, **dict.fromkeys(names, Net)}
    annotations["optim"] = torch.optim.Optimizer
    bases = (Rules, Versioned) if base is Versioned else (Rules, base, Versioned)
    namespace = {"__annotations__": {**annotations, **more}, "__module__": __name__}
    return dataclass(type("State", bases, namespace))


def of_torch(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=0.1)


def of_burnish(net: nn.Module) -> torch.optim.Optimizer:
    return AdamW().bind(net, lr=0.1)


def run_of(
    cls: Any, folder: Path, bind: Callable[[nn.Module], Any] = of_torch, **more: Any
) -> HyperState[Config, Any]:
    def begin(config: Config) -> Any:
        names = [name for name in cls.__annotations__ if len(name) == 1]
        nets = {name: Net() for name in names}
        return cls(step=0, **nets, optim=bind(nets[names[0]]), **more)

    return HyperState.load(Config, cls, begin, checkpoint_dir=folder)


def begun(
    folder: Path, bind: Callable[[nn.Module], Any] = of_torch, **options: Any
) -> Any:
    """Return the state of a run whose optimizer has stepped ``a`` once."""
    run = run_of(class_of("ab", [], **options), folder, bind)
    run.state.a.layer(torch.ones(2, 3)).sum().backward()
    run.state.optim.step()
    run.save()
    return run.state


def stepped(optim: torch.optim.Optimizer) -> list[int]:
    return [id(param) for param in optim.param_groups[0]["params"]]


@pytest.mark.parametrize("bind", [of_torch, of_burnish])
@pytest.mark.parametrize(
    ("names", "rules", "new_name"), [("cb", RENAME, "c"), ("ba", SWAP, "b")]
)
def test_an_optimizer_steps_the_module_that_it_stepped(
    bind: Any, names: str, rules: list[RewriteRule], new_name: str, tmp_path: Path
) -> None:
    before = begun(tmp_path, bind)

    run = run_of(class_of(names, rules), tmp_path, bind)
    run.state.step = 1
    run.save()
    again = run_of(class_of(names, rules), tmp_path, bind)

    for state in (run.state, again.state):
        net = getattr(state, new_name)
        assert torch.equal(net.layer.weight, before.a.layer.weight)
        assert stepped(state.optim) == [id(param) for param in net.parameters()]
        assert state.optim.state[net.layer.weight]["exp_avg"].any()


def test_a_module_that_a_rule_removed_is_not_taken_for_one_of_its_name(
    tmp_path: Path,
) -> None:
    begun(tmp_path)

    with pytest.raises(RecordError, match=r"'a \(removed by a rule\)'.*state has"):
        run_of(class_of("a", TAKE_OVER), tmp_path)


def test_an_optimizer_that_only_the_program_makes_follows_too(tmp_path: Path) -> None:
    class Other(torch.optim.SGD):
        """None of torch's own, so that nobody else makes it."""

    def bind(net: nn.Module) -> Any:
        return Other(net.parameters(), lr=0.1, momentum=0.9)

    before = begun(tmp_path, bind)

    state = run_of(class_of("ba", SWAP), tmp_path, bind).state

    assert stepped(state.optim) == [id(param) for param in state.b.parameters()]
    assert torch.equal(state.b.layer.weight, before.a.layer.weight)
    with pytest.raises(RecordError, match=r"b\.layer\.weight"):
        run_of(class_of("ab", SWAP), tmp_path, bind)


def test_what_nobody_touched_is_saved_with_the_names_of_now(tmp_path: Path) -> None:
    before = begun(tmp_path, base=Lazy)
    cls = class_of("ba", SWAP, base=Lazy)

    run = run_of(cls, tmp_path)
    run.state.step = 1
    run.save()

    state = run_of(cls, tmp_path).state
    assert stepped(state.optim) == [id(param) for param in state.b.parameters()]
    assert torch.equal(state.b.layer.weight, before.a.layer.weight)


def test_paths_of_nested_objects_are_carried() -> None:
    saved = marked_files({"nets": [{"x.y": "<blob:one>"}, "<blob:two>"], "text": "one"})
    moves = MovedObjects(saved, {"net": "one", 'nets[0]["x.y"]': "two"})
    facts = {
        "kind": "bound",
        "about": {"groups": [[['nets[0]["x.y"]', "w"]], 3], "module": ["nets[1]", ""]},
        "ties": {"w": ["nets[1]", "v"], "broken": 5},
    }

    carried = moves.carry(facts)

    assert moves
    assert carried == {
        "kind": "bound",
        "about": {"groups": [[["net", "w"]], 3], "module": ['nets[0]["x.y"]', ""]},
        "ties": {"w": ['nets[0]["x.y"]', "v"], "broken": 5},
    }
    assert not MovedObjects(saved, saved)
