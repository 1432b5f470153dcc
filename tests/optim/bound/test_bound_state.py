"""What somebody did to ``optim.state`` or to a parameter by hand, seen by a step."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from burnish.optim import (
    SGD,
    AdamW,
    Lion,
    Muon,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)

from ..every_optimizer import ENGINES, OPTIMIZERS, alike, copies, net, stepped
from ..nets import UserAdamW, drive, set_grads, values


@ENGINES
def test_a_state_taken_away_whole_begins_anew_as_in_torch(fused: bool | None) -> None:
    model, optimizer = stepped(AdamW(), fused)
    reference = net()
    other = torch.optim.AdamW(reference.parameters(), lr=0.1)
    for seed in range(2):
        set_grads(reference, seed)
        other.step()
    set_grads(reference, 2)

    del optimizer.state[model[0].weight]
    del other.state[reference[0].weight]
    optimizer.step()
    other.step()

    for mine, theirs in zip(values(model), values(reference), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)

    optimizer.state.clear()
    optimizer.step()

    assert {state["step"] for state in optimizer.state.values()} == {1}


@ENGINES
@pytest.mark.parametrize("simple", [AdamW(), Lion(), UserAdamW()], ids=repr)
def test_a_state_emptied_by_hand_begins_anew_and_says_so(
    simple: SimpleOptimizer[Any], fused: bool | None
) -> None:
    model, optimizer = stepped(simple, fused)
    for name in list(optimizer.state[model[1].weight]):
        del optimizer.state[model[1].weight][name]

    with pytest.warns(RuntimeWarning, match=r"1\.weight: .* emptied, so it starts"):
        optimizer.step()

    assert optimizer.state[model[1].weight]


@ENGINES
def test_a_state_that_was_only_looked_at_before_the_first_step_is_made_in_silence(
    fused: bool | None,
) -> None:
    model = net()
    optimizer = AdamW().bind(model, lr=0.1, fused=fused)
    assert [optimizer.state[p] for p in model.parameters()] == [{}, {}]

    set_grads(model, 0)
    optimizer.step()

    assert optimizer.state[model[0].weight]["step"] == 1


@ENGINES
def test_a_number_set_as_torch_keeps_it_is_a_number_again(fused: bool | None) -> None:
    model, optimizer = stepped(AdamW(), fused)
    reference, other = stepped(AdamW(), fused)
    for parameter in model.parameters():
        optimizer.state[parameter]["step"] = torch.tensor(10.0)
    for parameter in reference.parameters():
        other.state[parameter]["step"] = 10

    optimizer.step()
    other.step()

    assert alike(values(model), values(reference))
    assert {type(s["step"]) for s in optimizer.state.values()} == {int}


@ENGINES
def test_what_a_tool_keeps_beside_the_fields_does_not_disturb_a_step(
    fused: bool | None,
) -> None:
    model, optimizer = stepped(AdamW(), fused)
    reference, other = stepped(AdamW(), fused)
    state = optimizer.state[model[0].weight]
    state["note"], state["mask"] = "x", torch.ones_like(model[0].weight)

    optimizer.step()
    other.step()

    for mine, theirs in zip(values(model), values(reference), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)
    assert state["note"] == "x"
    assert torch.equal(state["mask"], torch.ones_like(state["mask"]))


@ENGINES
@pytest.mark.parametrize("simple", [AdamW(), SGD(), Lion()], ids=repr)
def test_a_module_on_the_meta_device_is_refused_and_the_states_stay(
    simple: SimpleOptimizer[Any], fused: bool | None
) -> None:
    model, optimizer = stepped(simple, fused)
    states, weights = copies(optimizer), model.state_dict()
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    model.to("meta")
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    with pytest.raises(ValueError, match=r"0\.weight is on the meta device, so there"):
        optimizer.step()

    assert alike(copies(optimizer), states)

    model.to_empty(device="cpu")
    model.load_state_dict(weights)
    set_grads(model, 2)
    with pytest.warns(RuntimeWarning, match="the optimizer now steps the new"):
        optimizer.step()

    reference, other = stepped(simple, fused)
    other.step()
    assert alike(values(model), values(reference))


@ENGINES
def test_a_parameter_without_values_is_refused_if_it_was_bound_so(
    fused: bool | None,
) -> None:
    model = net().to("meta")
    optimizer = AdamW().bind(model, lr=0.1, fused=fused)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    with pytest.raises(ValueError, match=r"0\.weight is on the meta device, so there"):
        optimizer.step()


@ENGINES
@pytest.mark.parametrize("simple", [*OPTIMIZERS, Lion(), Muon()], ids=repr)
def test_a_parameter_that_got_another_shape_does_not_fit_its_state(
    simple: SimpleOptimizer[Any], fused: bool | None
) -> None:
    model, optimizer = stepped(simple, fused)
    states = copies(optimizer)
    model[1].weight.data = torch.ones(5, 3)
    model[1].weight.grad = torch.ones(5, 3)

    with pytest.raises(ValueError, match=r"1\.weight: .* has shape .* needs \([135], "):
        optimizer.step()

    assert alike(copies(optimizer), states)
    assert torch.equal(model[1].weight, torch.ones(5, 3))

    del optimizer.state[model[1].weight]
    optimizer.step()

    assert not torch.equal(model[1].weight, torch.ones(5, 3))


def test_moving_to_evaluation_names_a_field_that_is_gone() -> None:
    model, optimizer = stepped(ScheduleFreeAdamW(), None)
    weights = values(model)
    del optimizer.state[model[1].weight]["z"]

    with pytest.raises(ValueError, match=r"1\.weight: .* lacks z"):
        optimizer.eval()

    assert alike(values(model)[1:], weights[1:])
    assert optimizer.is_training


SHARED: list[Callable[[Any, Any], Any]] = [
    lambda state, other: state.update(exp_avg=other["exp_avg"]),
    lambda state, other: state.update(other),
]


@ENGINES
@pytest.mark.parametrize("share", SHARED)
def test_states_that_were_made_to_share_memory_get_their_own(
    share: Callable[[Any, Any], Any], fused: bool | None
) -> None:
    results: list[list[Tensor]] = []
    for is_copied in (False, True):
        model = nn.ParameterList([torch.ones(4, 4), torch.full((4, 4), 2.0)])
        optimizer = AdamW().bind(model, lr=0.1, fused=fused)
        for seed in range(4):
            set_grads(model, seed)
            if seed == 2:
                first, second = (optimizer.state[p] for p in model)
                share(first, copy.deepcopy(second) if is_copied else second)
            optimizer.step()
        results.append(values(model))

    assert alike(*results)


@ENGINES
def test_one_dict_as_the_state_of_two_parameters_is_parted(fused: bool | None) -> None:
    model = nn.ParameterList([torch.ones(4, 4), torch.full((4, 4), 2.0)])
    optimizer = AdamW().bind(model, lr=0.1, fused=fused)
    set_grads(model, 0)
    optimizer.step()

    optimizer.state[model[0]] = optimizer.state[model[1]]
    optimizer.step()

    first, second = (optimizer.state[p] for p in model)
    assert first is not second
    assert (first["step"], second["step"]) == (2, 2)


def _emptied(model: nn.Module, conversion: str) -> None:
    """Give ``model`` memory without values, in one of torch's ways."""
    setters = torch.__future__
    swap = conversion == "swap"
    overwrite = conversion == "overwrite"
    setters.set_swap_module_params_on_conversion(swap)
    setters.set_overwrite_module_params_on_conversion(overwrite)
    try:
        model.to_empty(device="cpu")
    finally:
        setters.set_swap_module_params_on_conversion(False)
        setters.set_overwrite_module_params_on_conversion(False)


@pytest.mark.parametrize("conversion", ["data", "swap", "overwrite"])
@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize(
    "simple",
    [AdamW(), UserAdamW(), SGD(momentum=0.9), ScheduleFreeAdamW()],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore:.*the optimizer now steps the new:RuntimeWarning")
def test_a_module_that_was_emptied_is_stepped_where_it_lies_now(
    simple: SimpleOptimizer[Any], fused: bool | None, conversion: str
) -> None:
    def run(fused: bool | None) -> list[Tensor]:
        model = nn.Sequential(nn.Linear(300, 250), nn.Linear(250, 3))
        for i, p in enumerate(model.parameters()):
            nn.init.constant_(p, 0.5 + i)
        optim = simple.bind(model, lr=0.1, fused=fused)
        drive(optim, model, 1, 2)
        left = [p.detach() for p in model.parameters()]
        _emptied(model, conversion)
        content = [tensor.clone() for tensor in left]
        for i, p in enumerate(model.parameters()):
            nn.init.constant_(p, 1.5 + i)
        drive(optim, model, 3, 4)
        assert all(map(torch.equal, left, content))
        return values(model)

    for mine, theirs in zip(run(fused), run(False), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["record", "state dict"])
@pytest.mark.parametrize("simple", [AdamW(), SGD()], ids=repr)
def test_what_a_tool_keeps_beside_the_fields_is_saved_and_comes_back(
    way: str, simple: SimpleOptimizer[Any]
) -> None:
    model, optimizer = stepped(simple, None)
    param = model[0].weight
    slow = param.detach().clone()
    optimizer.state[param] |= {"slow": slow, "count": 3, "note": "x"}
    other, again = stepped(simple, None)

    if way == "record":
        again.load_record(optimizer.save_record())
    else:
        again.load_state_dict(optimizer.state_dict())
        assert "beside" not in again.param_groups[0]

    state = again.state[other[0].weight]
    assert torch.equal(state["slow"], slow)
    assert state["slow"].data_ptr() != slow.data_ptr()
    assert (state["count"], state["note"]) == (3, "x")
    again.step()
    assert state["count"] == 3
    assert again.save_record() == again.save_record()


@pytest.mark.parametrize("rate", [float("nan"), float("inf")])
def test_a_rate_that_is_not_finite_is_refused_before_anything_is_changed(
    rate: float,
) -> None:
    model = net()
    adaptor = AdamW().bind(model, lr=0.1)
    drive(adaptor, model, 0)
    before = values(model)
    adaptor.param_groups[0]["lr"] = rate

    with pytest.raises(ValueError, match=r"group 0: .* set to (nan|inf), expected a f"):
        drive(adaptor, model, 1)

    assert all(map(torch.equal, values(model), before))
