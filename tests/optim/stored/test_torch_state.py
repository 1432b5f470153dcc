"""State dicts of torch's optimizers load both ways, or change nothing."""

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import burnish
from burnish.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    RAdam,
    Rprop,
    SimpleOptimizer,
)
from burnish.records import RecordFormatError, RecordMismatchError

from ..nets import (
    Net,
    adamw,
    distance,
    drive,
    layers,
)


def test_a_loaded_state_dict_is_not_shared_with_its_source() -> None:
    left, right = layers(), layers()
    first, second = adamw(left), adamw(right)
    drive(first, left, 1)
    second.load_state_dict(first.state_dict())
    kept = first.state[left[0].weight]["exp_avg"].clone()

    drive(second, right, 2)

    assert torch.equal(first.state[left[0].weight]["exp_avg"], kept)


def test_wide_state_of_a_narrow_model_stays_wide_when_loaded() -> None:
    wide = torch.float32
    left, right = layers(torch.bfloat16), layers(torch.bfloat16)
    first = adamw(left, state_dtype=wide)
    drive(first, left, 1)

    for options in ({"state_dtype": wide}, {}):
        second = adamw(right, **options)
        second.load_state_dict(first.state_dict())
        drive(second, right, 2)

        assert second.state[right[0].weight]["exp_avg"].dtype == wide
        assert right[0].weight.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("simple", "peer"),
    [
        (AdamW(amsgrad=True), lambda ps: torch.optim.AdamW(ps, 1e-3, amsgrad=True)),
        (SGD(momentum=0.9), lambda ps: torch.optim.SGD(ps, 1e-3, momentum=0.9)),
        (SGD(), lambda ps: torch.optim.SGD(ps, 1e-3)),
        (NAdam(), lambda ps: torch.optim.NAdam(ps, 1e-3)),
        (RAdam(), lambda ps: torch.optim.RAdam(ps, 1e-3)),
        (Adamax(), lambda ps: torch.optim.Adamax(ps, 1e-3)),
        (Adadelta(), lambda ps: torch.optim.Adadelta(ps, 1e-3)),
        (ASGD(t0=2), lambda ps: torch.optim.ASGD(ps, 1e-3, t0=2)),
        (Rprop(), lambda ps: torch.optim.Rprop(ps, 1e-3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_state_dicts_of_torchs_optimizers_load_both_ways(
    simple: SimpleOptimizer[Any], peer: Callable[[Any], Any]
) -> None:
    left, right = Net(large=False), Net(large=False)
    theirs, ours = peer(left.parameters()), simple.bind(right, lr=1e-3, fused=False)
    drive(theirs, left, 1, 2)
    right.load_state_dict(left.state_dict())

    ours.load_state_dict(theirs.state_dict())
    drive(theirs, left, 3)
    drive(ours, right, 3)
    # torch's own load shares what it is given.
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    drive(theirs, left, 4)
    drive(ours, right, 4)

    assert distance(left, right) <= 1e-6


@pytest.mark.parametrize(
    ("simple", "cls", "options"),
    [
        (SGD(momentum=0.9), torch.optim.SGD, {"momentum": 0.9}),
        (AdamW(amsgrad=True), torch.optim.AdamW, {"amsgrad": True}),
        (NAdam(), torch.optim.NAdam, {}),
        (RAdam(), torch.optim.RAdam, {}),
        (Adamax(), torch.optim.Adamax, {}),
        (Adadelta(), torch.optim.Adadelta, {}),
        (ASGD(t0=1), torch.optim.ASGD, {"t0": 1}),
        (Rprop(), torch.optim.Rprop, {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_torchs_states_of_complex_parameters_load_and_go_on(
    simple: Any, cls: Any, options: dict[str, Any]
) -> None:
    start = torch.tensor([1 + 2j, -0.5 + 0.25j, 3j])
    modules = [nn.ParameterList([start.clone()]) for _ in range(2)]
    theirs = cls(modules[0].parameters(), lr=0.1, **options)
    ours = simple.bind(modules[1], lr=0.1)

    def backward(module: Any) -> None:
        module.zero_grad()
        (module[0] * (1 + 2j) - 1j).abs().square().sum().backward()

    for _ in range(2):
        backward(modules[0])
        theirs.step()
    modules[1].load_state_dict(modules[0].state_dict())
    ours.load_state_dict(theirs.state_dict())
    for module, optimizer in zip(modules, (theirs, ours), strict=True):
        backward(module)
        optimizer.step()

    assert torch.allclose(modules[0][0], modules[1][0], atol=1e-6)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    for module, optimizer in zip(modules, (theirs, ours), strict=True):
        backward(module)
        optimizer.step()
    assert torch.allclose(modules[0][0], modules[1][0], atol=1e-6)


def test_a_state_dict_of_another_optimizer_is_refused_before_anything_changes() -> None:
    module = layers()
    adam, sgd = adamw(module), SGD(momentum=0.9).bind(module, lr=1.0)
    drive(adam, module, 1)
    drive(sgd, module, 2)
    before = {k: dict(v) for k, v in sgd.state.items()}

    with pytest.raises(RecordMismatchError, match=r"state of AdamW.*SGD"):
        sgd.load_state_dict(adam.state_dict())
    with pytest.raises(
        RecordMismatchError, match=r"0\.weight.*exp_avg.*momentum_buffer"
    ):
        sgd.load_state_dict(torch_state(module))

    assert {k: dict(v) for k, v in sgd.state.items()}.keys() == before.keys()
    assert sgd.param_groups[0]["lr"] == 1.0


def torch_state(module: nn.Module) -> dict[str, Any]:
    optimizer = torch.optim.Adam(module.parameters())
    drive(optimizer, module, 1)
    return optimizer.state_dict()


def test_a_state_dict_that_fails_halfway_leaves_optimizer_and_hooks_as_they_were() -> (
    None
):
    module = layers()
    adaptor = AdamW().bind(module, lr=0.1)
    drive(adaptor, module, 1)
    group, before = adaptor.param_groups[0], str(adaptor.state_dict())
    stored = adaptor.state_dict()
    stored["param_groups"][0] |= {"lr": 0.5, "clip": "no JSON"}

    with pytest.raises(ValueError, match="Expecting value"):
        adaptor.load_state_dict(stored)

    assert str(adaptor.state_dict()) == before
    assert adaptor.param_groups[0] is group
    assert not vars(adaptor)["_optimizer_load_state_dict_pre_hooks"]


@pytest.mark.parametrize("keys", [["optimizer"], ["optimizer_states", 0]])
def test_the_advice_for_a_file_with_weights_and_an_optimizer_loads_its_state(
    keys: list[Any], tmp_path: Path
) -> None:
    net, file = layers(), tmp_path / "last.pt"
    optimizer, again = adamw(net), adamw(net)
    drive(optimizer, net, 1)
    held: Any = optimizer.state_dict()
    for key in reversed(keys):
        held = {key: held} if isinstance(key, str) else [held]
    torch.save({"model": net.state_dict(), **held}, file)

    with pytest.raises(RecordMismatchError) as refused:
        again.load_record(file)
    _apply_advice(str(refused.value), again)

    assert len(again.state) == len(optimizer.state)


def test_the_advice_for_a_record_of_plain_data_loads_the_state_in_it(
    tmp_path: Path,
) -> None:
    net, file = layers(), tmp_path / "run.mpk"
    optimizer, again = adamw(net), adamw(net)
    drive(optimizer, net, 1)
    burnish.save_record({"run": {"optim": optimizer.state_dict()}}, file)

    with pytest.raises(RecordFormatError) as refused:
        again.load_record(file)
    _apply_advice(str(refused.value), again)

    assert len(again.state) == len(optimizer.state)


def _apply_advice(text: str, optimizer: Any) -> None:
    """Run the call that an error proposes."""
    call = re.search(r"\w+\.load_state_dict\(.*\)(?=\.)", text)
    assert call is not None
    eval(
        call[0], {"torch": torch, "burnish": burnish, call[0].split(".")[0]: optimizer}
    )


def test_a_dict_around_the_state_dict_is_refused_with_the_key_inside() -> None:
    net = layers()
    optimizer = adamw(net)
    drive(optimizer, net, 1)
    content = {"model": net.state_dict(), "optim": optimizer.state_dict()}

    with pytest.raises(RecordMismatchError, match=r"model, optim.*\n.*\['optim'\]\)"):
        optimizer.load_state_dict(content)
    with pytest.raises(TypeError, match=r"load_record reads a file"):
        optimizer.load_state_dict("last.pt")  # type: ignore[arg-type]

    assert len(optimizer.state) == len([*net.parameters()])


@pytest.mark.parametrize("is_decoupled", [False, True])
def test_a_state_of_the_other_adam_is_refused_unless_nothing_decays(
    *, is_decoupled: bool
) -> None:
    net = layers()
    theirs = torch.optim.AdamW if is_decoupled else torch.optim.Adam
    same: Any = AdamW() if is_decoupled else Adam()
    other: Any = Adam() if is_decoupled else AdamW()
    kind, expected = type(same).__name__, type(other).__name__
    states = {
        decay: theirs(net.parameters(), lr=0.1, weight_decay=decay).state_dict()
        for decay in (0.0, 0.1)
    }
    if "decoupled_weight_decay" not in states[0.1]["param_groups"][0]:
        pytest.skip("this torch does not store it")

    with pytest.raises(RecordMismatchError, match=rf"of {kind}, .* of {expected}\n"):
        other.bind(net, lr=0.1).load_state_dict(states[0.1])

    other.bind(net, lr=0.1).load_state_dict(states[0.0])
    same.bind(net, lr=0.1).load_state_dict(states[0.1])
