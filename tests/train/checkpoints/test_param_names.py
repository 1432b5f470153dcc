"""States of torch's optimizers follow the names of the parameters beside them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.config import MapFieldValue, RenameField
from burnish.config.rewriting.rewrite_rule import RewriteRule
from burnish.core import TransposeTensor
from burnish.records import RecordMismatchError
from burnish.train import Checkpoints
from burnish.train.checkpoints.param_names import carried_names


class Ordered(nn.Module):
    def __init__(self, names: str = "abc") -> None:
        super().__init__()
        for name in names:
            self.add_module(name, nn.Linear(2, 2))


def trained(net: nn.Module, optimizer: Any) -> Any:
    for name, param in net.named_parameters():
        param.grad = torch.full_like(param, float(ord(name[0])))
    optimizer.step()
    return optimizer


def moments(net: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    return {
        name: optimizer.state[param]["exp_avg"]
        for name, param in net.named_parameters()
    }


def agree(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return mine.keys() == theirs.keys() and all(
        torch.equal(mine[name], theirs[name]) for name in mine
    )


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel])
@pytest.mark.parametrize("names", [("model", "optim"), ("optim", "model")])
def test_a_state_follows_the_names_of_a_model_in_another_order(
    tmp_path: Path, wrap: Any, names: tuple[str, str]
) -> None:
    old, net = Ordered("abc"), Ordered("cab")
    saved = trained(old, torch.optim.AdamW(old.parameters()))
    Checkpoints(tmp_path).save(1, model=wrap(old), optim=saved)
    optimizer = torch.optim.AdamW(net.parameters())
    parts: Any = {"model": net, "optim": optimizer}

    Checkpoints(tmp_path).restore(**{name: parts[name] for name in names})

    assert agree(moments(net, optimizer), moments(old, saved))


def test_other_groups_are_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    def grouped(net: Any, first: str, second: str) -> Any:
        groups = [
            {"params": net.get_submodule(first).parameters()},
            {"params": net.get_submodule(second).parameters(), "lr": 0.5},
        ]
        return torch.optim.AdamW(groups)

    old: Any = Ordered("ab")
    net: Any = Ordered("ab")
    saved = trained(old, grouped(old, "a", "b"))
    Checkpoints(tmp_path).save(1, model=old, optim=saved)
    weight, optimizer = net.a.weight.clone(), grouped(net, "b", "a")

    with pytest.raises(
        RecordMismatchError, match=r"model\.b\.weight: was number 0"
    ) as e:
        Checkpoints(tmp_path).restore(model=net, optim=optimizer)

    assert not optimizer.state
    assert torch.equal(net.a.weight, weight)
    assert "checkpoints.restore(optim=optimizer)" in str(e.value)
    Checkpoints(tmp_path).restore(optim=optimizer)
    assert torch.equal(
        moments(net, optimizer)["b.weight"], moments(old, saved)["a.weight"]
    )


def test_the_state_of_another_part_of_the_model_is_refused(tmp_path: Path) -> None:
    net: Any = Ordered("ab")
    saved = trained(net.a, torch.optim.AdamW(net.a.parameters()))
    Checkpoints(tmp_path).save(1, model=net, optim=saved)
    optimizer = torch.optim.AdamW(net.b.parameters())

    with pytest.raises(RecordMismatchError, match=r"model\.a\.weight: was number 0 of"):
        Checkpoints(tmp_path).restore(model=net, optim=optimizer)

    assert not optimizer.state


def test_lbfgs_whose_state_is_of_all_parameters_is_refused(tmp_path: Path) -> None:
    old, net = Ordered("ab"), Ordered("ba")
    Checkpoints(tmp_path).save(1, model=old, optim=torch.optim.LBFGS(old.parameters()))

    with pytest.raises(RecordMismatchError, match="LBFGS were in a different order"):
        Checkpoints(tmp_path).restore(
            model=net, optim=torch.optim.LBFGS(net.parameters())
        )


def test_parameters_that_rules_renamed_are_matched_by_their_new_names(
    tmp_path: Path,
) -> None:
    old: Any = burnish.module(name="test/swapped")(Ordered)("ab")
    saved = trained(old, torch.optim.AdamW(old.parameters()))
    Checkpoints(tmp_path).save(1, model=old, optim=saved)

    @burnish.module(
        name="test/swapped",
        version=1,
        upgrade_rules={
            0: [
                RenameField("a", "c"),
                RenameField("b", "a"),
                RenameField("c", "b"),
                RenameField("names", "_names"),
            ]
        },
    )
    class Swapped(nn.Module):
        def __init__(self, _names: str = "ab") -> None:
            super().__init__()
            self.b, self.a = nn.Linear(2, 2), nn.Linear(2, 2)

    net = Swapped()
    optimizer = torch.optim.AdamW(net.parameters())

    Checkpoints(tmp_path).restore(model=net, optim=optimizer)

    assert torch.equal(net.b.weight, old.a.weight)
    assert torch.equal(
        optimizer.state[net.b.weight]["exp_avg"], saved.state[old.a.weight]["exp_avg"]
    )


def renamed_class(order: str) -> Any:
    """Return a class whose a and b were called so once, and are x and y now."""

    @burnish.module(
        name="test/renamed",
        version=1,
        upgrade_rules={
            0: [
                RenameField("a", "x"),
                RenameField("b", "y"),
                RenameField("names", "_names"),
            ]
        },
    )
    class Renamed(nn.Module):
        def __init__(self, _names: str = "ab") -> None:
            super().__init__()
            for name in order:
                setattr(self, name, nn.Linear(2, 2))

    return Renamed


def test_states_follow_names_that_rules_gave_whatever_the_order(tmp_path: Path) -> None:
    old: Any = burnish.module(name="test/renamed")(Ordered)("ab")
    saved = trained(old, torch.optim.AdamW(old.parameters()))
    Checkpoints(tmp_path).save(1, model=old, optim=saved)
    net = renamed_class("yx")()
    optimizer = torch.optim.AdamW(net.parameters())

    Checkpoints(tmp_path).restore(model=net, optim=optimizer)

    for new, stored in ((net.x.weight, old.a.weight), (net.y.bias, old.b.bias)):
        assert torch.equal(new, stored)
        moment = optimizer.state[new]["exp_avg"]
        assert torch.equal(moment, saved.state[stored]["exp_avg"])


@pytest.mark.parametrize("versions", [3, {"model": 3}, {"model": {"": "one"}}])
def test_versions_that_are_none_give_no_names_or_are_told(versions: object) -> None:
    net = renamed_class("yx")()
    stored = {"groups": [[["model", "a.weight"]]], "versions": versions}
    is_version = not isinstance(versions, dict) or versions["model"] == 3

    if is_version:
        assert carried_names(stored, {"model": net}, "run/optim.mpk") == ()
        return
    with pytest.raises(RecordMismatchError, match=r"run/optim\.mpk.*is not a version"):
        carried_names(stored, {"model": net}, "run/optim.mpk")


class OwnTranspose(RewriteRule):
    """A user's rule, which changes the entries themselves."""

    def apply_to_entries(self, entries: Any, derive: Any) -> dict[str, Any]:
        return {path: derive(e, lambda t: t.T) for path, e in entries.items()}


@pytest.mark.parametrize(
    "rule",
    [
        TransposeTensor("weight"),
        OwnTranspose(),
        MapFieldValue("weight", lambda t: t.T, "transpose"),
    ],
)
def test_states_of_torch_do_not_go_where_a_rule_computes(
    tmp_path: Path, rule: Any
) -> None:
    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.eye(2))

    older = burnish.module(name="square")(Square)
    newer = burnish.module(name="square", version=1, upgrade_rules={0: [rule]})(
        type("Square", (Square,), {})
    )
    before, after = older(), newer()
    checkpoints = Checkpoints(tmp_path)
    optimizer = torch.optim.Adam(before.parameters())
    checkpoints.save(1, net=before, optim=optimizer)

    with pytest.raises(RecordMismatchError, match=r"net\.weight: .*rans.*follow"):
        checkpoints.restore(net=after, optim=torch.optim.Adam(after.parameters()))


class OwnSwap(RewriteRule):
    def apply_to_entries(self, entries: Any, derive: Any) -> dict[str, Any]:
        names = {"a": "b", "b": "a"}
        return {names[path[0]] + path[1:]: e for path, e in entries.items()}


def test_states_of_torch_follow_a_rule_that_moves_the_entries_itself(
    tmp_path: Path,
) -> None:
    old: Any = burnish.module(name="test/own_swap")(Ordered)("ab")
    saved = trained(old, torch.optim.AdamW(old.parameters()))
    Checkpoints(tmp_path).save(1, model=old, optim=saved)
    newer = burnish.module(
        name="test/own_swap", version=1, upgrade_rules={0: [OwnSwap()]}
    )
    net: Any = newer(type("Ordered", (Ordered,), {}))("ab")
    optimizer = torch.optim.AdamW(net.parameters())

    Checkpoints(tmp_path).restore(model=net, optim=optimizer)

    moment = optimizer.state[net.b.weight]["exp_avg"]
    assert torch.equal(net.b.weight, old.a.weight)
    assert torch.equal(moment, saved.state[old.a.weight]["exp_avg"])
