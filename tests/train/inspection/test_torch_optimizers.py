"""States of torch's optimizers stand under names, whatever they were saved in."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.train import Checkpoints
from burnish.train.inspection.part_view import PartView, part_views
from burnish.train.inspection.stored_parts import stored_parts
from burnish.train.inspection.torch_optimizers import groups_beside

IS_TOLD_APART = (
    "decoupled_weight_decay" in torch.optim.Adam([nn.Parameter(torch.ones(1))]).defaults
)
"""Whether Adam and AdamW differ in their settings: not in torch 2.6."""

UNKNOWN = "an optimizer"


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def stepped(module: nn.Module, cls: Any = torch.optim.Adam, **options: Any) -> Any:
    """Return an optimizer that steps the last layer in a group of its own."""
    *layers, last = module.children()
    others = [param for layer in layers for param in layer.parameters()]
    groups = [{"params": [*last.parameters()]}, {"params": others, "lr": 0.5}]
    optim = cls(groups, lr=0.1, **options)
    module(torch.ones(2, 4)).sum().backward()
    optim.step()
    return optim


def view_of(source: Any, name: str = "optim") -> PartView:
    with stored_parts(source) as parts:
        return next(view for view in part_views(parts) if view.part.name == name)


NAMES = {"0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"}


def params_of(view: PartView) -> set[str]:
    return {entry.path.rpartition(".")[0] for entry in view.entries}


@pytest.mark.parametrize(
    ("cls", "options", "kind"),
    [
        (torch.optim.Adam, {}, "Adam"),
        (torch.optim.AdamW, {}, "AdamW"),
        (torch.optim.SGD, {"momentum": 0.9}, "SGD"),
    ],
)
def test_a_checkpoint_knows_the_names_of_every_group(
    cls: Any, options: Any, kind: str, tmp_path: Path
) -> None:
    module = net()
    optim = stepped(module, cls, **options)
    Checkpoints(tmp_path).save(1, model=module, optim=optim)

    view = view_of(tmp_path)

    assert params_of(view) == NAMES
    assert [(g.kind, g.hyperparameters["lr"]) for g in view.groups] == [
        (kind, 0.1),
        (kind, 0.5),
    ]
    assert view.n_params == [2, 4]
    assert view.users_metadata == {}
    alone = view_of(Checkpoints(tmp_path)[1].file("optim"), "")
    assert params_of(alone) == NAMES


def test_values_are_those_of_the_parameter_of_that_name(tmp_path: Path) -> None:
    module = net()
    optim = stepped(module)
    Checkpoints(tmp_path).save(1, gan=net(), model=module, optim=optim)

    with stored_parts(tmp_path) as parts:
        *_, view = part_views(parts)
        entries = {entry.path: entry for entry in view.entries}
        values = entries["0.weight.exp_avg"].read()

    assert torch.equal(values, optim.state[module[0].weight]["exp_avg"])


def test_parameters_of_two_modules_are_named_with_them(tmp_path: Path) -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    optim = torch.optim.SGD([*a.parameters(), *b.parameters()], momentum=0.9)
    (a(torch.ones(2)) + b(torch.ones(2))).sum().backward()
    optim.step()
    Checkpoints(tmp_path).save(1, a=a, b=b, optim=optim)

    assert params_of(view_of(tmp_path)) == {"a.weight", "a.bias", "b.weight", "b.bias"}


def test_without_names_those_of_the_module_whose_shapes_agree_are_taken() -> None:
    module = net()
    optim = torch.optim.AdamW(module.parameters())
    module(torch.ones(2, 4)).sum().backward()
    optim.step()
    data = {"model": module.state_dict(), "optim": optim.state_dict(), "epoch": 3}

    view = view_of(burnish.save_record(data), "")

    assert {f"optim.{name}" for name in NAMES} < params_of(view)
    assert view.groups[0].kind == ("AdamW" if IS_TOLD_APART else UNKNOWN)
    assert ("epoch", 3) in view.plain


def test_where_nothing_tells_names_parameters_keep_their_numbers() -> None:
    view = view_of(burnish.save_record(stepped(net()).state_dict()), "")

    assert params_of(view) == {f"parameter {i}" for i in range(6)}


def test_a_group_of_named_parameters_tells_them_itself() -> None:
    layer = nn.Linear(2, 2)
    optim = torch.optim.SGD(layer.named_parameters(), momentum=0.9)  # type: ignore[arg-type]  # since torch 2.6
    layer(torch.ones(2)).sum().backward()
    optim.step()

    view = view_of(burnish.save_record(optim.state_dict()), "")

    assert params_of(view) == {"weight", "bias"}


def test_an_optimizer_beside_a_state_dict_of_torch_is_told(tmp_path: Path) -> None:
    module = net()
    content = {"model": module.state_dict(), "optim": stepped(module).state_dict()}
    torch.save(content, tmp_path / "run.pt")

    view = view_of(tmp_path / "run.pt", "")

    told = [(name, g.kind, n) for name, g, n in groups_beside(view.record)]
    kind = "Adam" if IS_TOLD_APART else UNKNOWN
    assert told == [("optim", kind, 2), ("optim", kind, 4)]
    assert view.groups == []


@pytest.mark.parametrize(
    "description", [7, {"groups": 3}, {"groups": [[1]]}, {"groups": [["ab", "c"]]}]
)
def test_a_description_that_is_none_names_nothing(description: Any) -> None:
    record = burnish.open_record(burnish.save_record(stepped(net()).state_dict()))
    record.metadata["torch_optimizer"] = description

    view = view_of(record.save(), "")

    assert len(view.entries) == 18
