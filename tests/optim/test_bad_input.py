"""What users get wrong: a clear error or the documented behaviour, nothing changed."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish.optim as optim
from burnish.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Adan,
    Group,
    ImpureStepError,
    Muon,
    NAdam,
    NonFiniteGradientError,
    OptimizerAdaptor,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)
from burnish.records import Record

from .nets import Moments, UserAdamW, drive, layers, plist, set_grads, tree, values


def test_torchs_habit_is_answered_with_the_right_line() -> None:
    net = layers()
    habit: Any = AdamW

    for arguments, named in (
        ((net.parameters(),), {"lr": 1e-3}),
        ((list(net.parameters()),), {}),
        ((net,), {"lr": 1e-3}),
        ((), {"lr": 1e-3}),
    ):
        with pytest.raises(TypeError, match=r"AdamW\(.*\)\.bind\(net, lr="):
            habit(*arguments, **named)
    with pytest.raises(TypeError, match="pass the module itself"):
        AdamW().bind(net.parameters(), lr=1e-3)  # type: ignore[arg-type]  # the point
    with pytest.raises(TypeError, match=r"OptimizerAdaptor\(AdamW\(\), net"):
        OptimizerAdaptor(net, AdamW(), lr=1e-3)  # type: ignore[arg-type]  # the point


def test_hyperparameters_without_the_decorator_are_no_silent_loss() -> None:
    class Plain(SimpleOptimizer[None]):
        beta: float = 0.9

    with pytest.raises(TypeError, match=r"@dataclass\(frozen=True, kw_only=True\)"):
        Plain()


OUT_OF_RANGE: list[Callable[[], Any]] = [
    lambda: AdamW(betas=(1.0, 0.9)),
    lambda: AdamW(betas=(0.9, -0.1)),
    lambda: AdamW(eps=-1.0),
    lambda: AdamW(weight_decay=-0.1),
    lambda: AdamW(betas=(0.9, float("nan"))),
    lambda: Adam(betas=(0.9,)),  # type: ignore[arg-type]  # the point
    lambda: Adan(betas=(0.9, 0.9)),  # type: ignore[arg-type]  # the point
    lambda: SGD(momentum=-0.1),
    lambda: SGD(nesterov=True),
    lambda: Adagrad(lr_decay=-1.0),
    lambda: RMSprop(alpha=-1.0),
    lambda: Adafactor(beta2_decay=0.5),
    lambda: Adafactor(d=0.5),
    lambda: NAdam(momentum_decay=-0.1),
    lambda: RAdam(betas=(0.9, 1.0)),
    lambda: Adamax(eps=-1.0),
    lambda: Adadelta(rho=1.5),
    lambda: Adadelta(rho=-0.5),
    lambda: ASGD(lambd=-1.0),
    lambda: ASGD(weight_decay=-1.0),
    lambda: Rprop(etas=(1.2, 0.5)),
    lambda: Rprop(step_sizes=(1.0, 0.5)),
    lambda: Muon(ns_steps=100),
    lambda: Muon(adjust_lr_fn="other"),
    lambda: ScheduleFreeAdamW(betas=(0.0, 0.9)),
    lambda: AdamW().bind(layers(), lr=-1.0),
    lambda: AdamW().bind(layers(), lr=float("nan")),
    lambda: AdamW().bind(layers(), lr=1.0, nonfinite="ignore"),
    lambda: AdamW().bind(layers(), lr=1.0, state_dtype=torch.int8),
    lambda: AdamW().bind(nn.ReLU(), lr=1.0),
]


@pytest.mark.parametrize("number", range(len(OUT_OF_RANGE)))
def test_values_out_of_range_are_refused_at_once(number: int) -> None:
    with pytest.raises(ValueError, match=r"must be|needs|nonfinite|no floating"):
        OUT_OF_RANGE[number]()


def test_a_hyperparameter_that_a_schedule_drives_out_of_range_is_refused() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    adaptor.param_groups[0]["betas"] = (1.5, 0.9)
    set_grads(net, 1)
    before = values(net)

    with pytest.raises(ValueError, match=r"betas\[0\]"):
        adaptor.step()

    assert same(before, net)


def same(before: list[Tensor], net: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, values(net), strict=True))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("fused", [False, None, True])
def test_gradients_that_are_not_finite_follow_the_policy(
    bad: float, fused: bool | None
) -> None:
    for policy in ("pass", "skip", "error"):
        net = layers()
        adaptor = UserAdamW().bind(net, lr=1e-2, nonfinite=policy, fused=fused)
        drive(adaptor, net, 1)
        set_grads(net, 2)
        net[2].bias.grad[1] = bad
        before = values(net)

        if policy == "error":
            with pytest.raises(NonFiniteGradientError, match=r"2\.bias") as caught:
                adaptor.step()
            assert pickle.loads(pickle.dumps(caught.value)).paths == ["2.bias"]
        else:
            adaptor.step()

        if policy == "pass":
            assert not net[2].bias.isfinite().all()
        else:
            assert same(before, net)
            assert adaptor.state[net[2].bias]["t"] == 1


def test_a_step_before_any_backward_changes_nothing() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    before = values(net)

    adaptor.step()

    assert same(before, net)
    assert not adaptor.state


def test_an_empty_match_is_an_error_that_proposes_a_name() -> None:
    net = tree(head=nn.Linear(2, 2))

    with pytest.raises(ValueError, match=r"'haed\.weight'.*head\.weight"):
        AdamW().bind(net, lr=1e-2, groups=[Group("haed.weight", weight_decay=0.0)])
    with pytest.raises(ValueError, match=r"no hyperparameter 'wd'"):
        AdamW().bind(net, lr=1e-2, groups=[Group("**", wd=0.0)])
    with pytest.raises(TypeError, match="a pattern, a type, or both"):
        Group(weight_decay=0.0)


class Impure(UserAdamW):
    """Breaks its promise in a way that each subclass names."""


@dataclass(frozen=True, kw_only=True)
class Misbehaving(UserAdamW):
    how: str = ""

    def step(self, lr: float, tensor: Tensor, grad: Tensor, state: Moments) -> Any:
        if self.how.endswith("after reading"):
            grad = grad + 0 * grad.sum()
        how = self.how.split(",")[0]
        if how == "tensor in place":
            return tensor.sub_(grad), state
        if how == "grad in place":
            grad_ = grad if not self.how.endswith("after reading") else tensor
            return tensor - grad_.mul_(2), state
        if how == "state in place":
            return tensor - state.m.add_(grad), state
        if how == "another dtype":
            return tensor.double() - grad, state
        if how == "another shape":
            return (tensor - grad).sum(), state
        if how == "another dtype of state":
            return tensor - grad, replace(state, m=state.m.double())  # type: ignore[type-var]  # a record is a dataclass
        if how == "no tensor":
            return 1.0, state
        if how == "no record":
            return tensor - grad, {"m": state.m}
        return tensor - grad, None


WAYS = [
    "tensor in place",
    "grad in place",
    "state in place",
    "another dtype",
    "another shape",
    "another dtype of state",
    "no tensor",
    "no record",
    "no state",
]


@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("reading", ["", ",after reading"])
@pytest.mark.parametrize("how", WAYS)
def test_a_step_that_breaks_its_contract_is_told_so_before_anything_changes(
    how: str, reading: str, fused: bool | None
) -> None:
    net = layers()
    adaptor = Misbehaving(how=how + reading).bind(net, lr=1e-2, fused=fused)
    set_grads(net, 1)
    before = values(net)
    grads = [p.grad.clone() for p in net.parameters() if p.grad is not None]

    with pytest.raises(ImpureStepError, match=r"step\(\)"):
        adaptor.step()

    assert same(before, net)
    given = zip(grads, net.parameters(), strict=True)
    assert all(torch.equal(a, p.grad) for a, p in given if p.grad is not None)


CONVERSIONS: list[dict[str, Any]] = [
    {"maximize": True},
    {"clip": optim.ClipValue(0.5)},
    {"clip": optim.ClipNorm(0.5)},
    {"state_dtype": torch.float64},
]


@pytest.mark.parametrize("options", CONVERSIONS, ids=str)
@pytest.mark.parametrize("fused", [False, None, True])
@pytest.mark.parametrize("how", ["tensor", "grad", "state"])
def test_a_step_must_not_change_what_was_converted_for_it_either(
    how: str, fused: bool | None, options: dict[str, Any]
) -> None:
    net = layers()
    adaptor = Misbehaving(how=f"{how} in place").bind(
        net, lr=1e-2, fused=fused, **options
    )
    set_grads(net, 1)
    before = values(net)

    with pytest.raises(ImpureStepError, match="in place"):
        adaptor.step()

    assert same(before, net)


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_state_that_is_no_record_is_refused_at_binding(fused: bool | None) -> None:
    class Dicts(SimpleOptimizer[Any]):
        def init(self, tensor: Tensor) -> Any:
            return {"m": torch.zeros_like(tensor)}

    with pytest.raises(TypeError, match=r"Dicts\.init\(\) returns a dict.*Record"):
        Dicts().bind(layers(), lr=1e-2, fused=fused)


def test_an_error_in_the_authors_step_leaves_all_parameters() -> None:
    class Failing(SimpleOptimizer[None]):
        def step(self, lr: float, tensor: Tensor, grad: Tensor, state: None) -> Any:
            raise KeyError("mine")

    net = layers()
    set_grads(net, 1)
    before = values(net)

    for fused in (False, None, True):
        with pytest.raises(KeyError, match="mine"):
            Failing().bind(net, lr=1e-2, fused=fused).step()

    assert same(before, net)


def test_a_step_that_is_not_written_says_so() -> None:
    net = layers()
    set_grads(net, 1)

    with pytest.raises(NotImplementedError, match=r"does not define step\(\)"):
        SimpleOptimizer[None]().bind(net, lr=1.0).step()


def test_a_hyperparameter_that_param_groups_use_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Own(SimpleOptimizer[None]):
        lr: float = 0.1

    with pytest.raises(TypeError, match=r"'lr'.*rename"):
        Own().bind(layers(), lr=1.0)


@pytest.mark.parametrize("fused", [False, None, True])
def test_a_parameter_replaced_in_the_module_is_stepped_with_its_state(
    fused: bool | None,
) -> None:
    net, peer = layers(), layers()
    adaptor = UserAdamW().bind(net, lr=1e-2, fused=fused)
    straight = UserAdamW().bind(peer, lr=1e-2, fused=fused)
    drive(adaptor, net, 1)
    drive(straight, peer, 1, 2)

    adaptor.zero_grad()
    net.load_state_dict(
        {k: v.clone() for k, v in net.state_dict().items()}, assign=True
    )
    set_grads(net, 2)
    with pytest.warns(RuntimeWarning, match=r"0\.weight.*was replaced"):
        adaptor.step()

    assert same(values(peer), net)
    assert adaptor.param_groups[0]["params"][0] is net[0].weight


def replace_weight(net: Any) -> None:
    net[0].weight = nn.Parameter(torch.zeros_like(net[0].weight))


def replace_layer(net: Any) -> None:
    net[0] = nn.Linear(8, 16)


@pytest.mark.parametrize("replace", [replace_weight, replace_layer])
@pytest.mark.parametrize("clear", [None, "net", "zeros"])
def test_a_parameter_that_was_replaced_is_stepped_whatever_gradient_the_old_one_has(
    replace: Callable[[Any], None], clear: str | None
) -> None:
    net = layers()
    adaptor = SGD(momentum=0.9).bind(net, lr=0.1)
    drive(adaptor, net, 1)
    if clear == "zeros":
        adaptor.zero_grad(set_to_none=False)
    replace(net)
    if clear == "net":
        net.zero_grad()
    old, before = net[2].weight, net[0].weight.detach().clone()
    set_grads(net, 2)

    with pytest.warns(RuntimeWarning, match=r"0\.weight.*was replaced"):
        adaptor.step()

    assert not torch.equal(before, net[0].weight)
    assert adaptor.param_groups[0]["params"][0] is net[0].weight
    assert net[2].weight is old
    drive(adaptor, net, 3)  # says nothing again


def test_gradients_as_values_find_a_replaced_parameter() -> None:
    net = layers()
    adaptor = SGD().bind(net, lr=0.1)
    replace_weight(net)

    with pytest.warns(RuntimeWarning, match=r"0\.weight"):
        adaptor.apply_gradients(None, net, {"0.weight": torch.ones(16, 8)})

    assert torch.equal(net[0].weight, torch.full((16, 8), -0.1))


def test_a_whole_module_optimizer_refuses_a_replaced_parameter() -> None:
    net = layers()
    adaptor = LBFGS().bind(net)
    replace_weight(net)

    with pytest.raises(RuntimeError, match=r"0\.weight was replaced.*make it anew"):
        adaptor.step(lambda: torch.zeros(()))  # type: ignore[no-untyped-call]  # of torch


def test_a_parameter_that_only_moves_in_the_module_is_not_replaced() -> None:
    net = layers()
    adaptor = SGD().bind(net, lr=0.1)
    net[0] = nn.Sequential(net[0])
    del net[2]
    net.append(nn.Tanh())
    before = net[0][0].weight.detach().clone()

    drive(adaptor, net, 1)

    assert not torch.equal(before, net[0][0].weight)
    (first, *_) = adaptor._bound.params.current()  # pyright: ignore[reportPrivateUsage]  # users have no face for it
    assert first.path == "0.0.weight"


def test_a_layer_replaced_by_another_shape_starts_anew() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    drive(adaptor, net, 1)
    adaptor.zero_grad()
    net[2] = nn.Linear(16, 7)
    before = net[2].weight.detach().clone()
    set_grads(net, 2)

    with pytest.warns(RuntimeWarning, match=r"2\.weight"):
        adaptor.step()

    assert not torch.equal(before, net[2].weight)
    assert adaptor.state[net[2].weight]["step"] == 1


def test_names_are_sorted_and_all_there() -> None:
    assert optim.__all__ == sorted(optim.__all__)
    assert all(getattr(optim, name) is not None for name in optim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Adamm'"):
        optim.Adamm  # type: ignore[attr-defined]  # noqa: B018  # the point


def test_a_state_may_hold_what_no_engine_takes() -> None:
    class History(Record):
        grads: list[Tensor]
        note: str

    class Remembering(SimpleOptimizer[History]):
        def init(self, tensor: Tensor) -> History:
            return History([], "begun")

        def step(
            self, lr: float, tensor: Tensor, grad: Tensor, state: History
        ) -> tuple[Tensor, History]:
            grads = [*state.grads[-1:], grad]
            return tensor - lr * sum(grads), History(grads, "going")  # type: ignore[operator]  # sum of tensors

    net = layers()
    adaptor = Remembering().bind(net, lr=1e-2)
    drive(adaptor, net, 1, 2, 3)

    kept = adaptor.state[net[0].weight]["grads"]
    again = Remembering().bind(net, lr=1e-2)
    again.load_record(adaptor.save_record())

    assert len(kept) == 2
    assert kept[1] is not net[0].weight.grad
    assert torch.equal(again.state[net[0].weight]["grads"][1], kept[1])


@pytest.mark.parametrize(
    "values", [torch.zeros(1).expand(5), torch.zeros(4).as_strided((3, 2), (1, 1))]
)
def test_a_parameter_whose_elements_share_memory_is_refused_by_path(
    values: Tensor,
) -> None:
    net = plist(torch.ones(3), nn.Parameter(values))

    with pytest.raises(ValueError, match=r"^1: its elements share memory"):
        AdamW().bind(net, lr=0.1)


def test_a_parameter_whose_elements_interleave_is_stepped() -> None:
    net = plist(nn.Parameter(torch.zeros(8).as_strided((2, 3), (3, 2))))
    net[0].grad = torch.ones(2, 3)

    SGD().bind(net, lr=1.0).step()

    assert torch.equal(net[0], -torch.ones(2, 3))


def test_a_step_with_its_arguments_in_another_order_is_refused_as_a_class() -> None:
    def step(self: Any, tensor: Any, grad: Any, state: Any, lr: Any) -> Any:
        return tensor - lr * grad, state

    with pytest.raises(TypeError, match=r"order: step\(self, lr, tensor, grad, state"):
        type("Swapped", (SimpleOptimizer,), {"step": step})


def test_one_group_and_one_schedule_without_a_list_are_told() -> None:
    one: Any = Group("**.bias", weight_decay=0.0)
    schedule: Any = optim.schedulers.Cosine(1e-3, 100)

    with pytest.raises(TypeError, match=r"groups=\[Group\(...\)\]"):
        AdamW().bind(layers(), lr=1e-3, groups=one)
    for composed in (
        lambda: optim.schedulers.Warmup(schedule, 10),
        lambda: optim.schedulers.Sequential(schedule, [3]),
    ):
        with pytest.raises(TypeError, match="made of a list of schedules"):
            composed()


class Norms(Record):
    direction: Tensor


@dataclass(frozen=True, kw_only=True)
class FromValues(SimpleOptimizer[Norms]):
    """An optimizer whose first state follows from the values of the parameter."""

    def init(self, tensor: Tensor) -> Norms:
        array = tensor.numpy()
        norm = float((array**2).sum()) ** 0.5
        if norm == 0.0:
            raise ValueError("no direction")
        return Norms(torch.from_numpy(array / norm))

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Norms
    ) -> tuple[Tensor, Norms]:
        return tensor - grad * state.direction * lr, state


def test_a_first_state_may_follow_from_the_values_of_the_parameter() -> None:
    net = plist(torch.full((4,), 2.0))

    optimizer = FromValues().bind(net, lr=1.0)
    net[0].grad = torch.ones(4)
    optimizer.step()

    assert torch.equal(net[0], torch.full((4,), 1.5))
    with pytest.raises(ValueError, match=r"^0: no direction"):
        FromValues().bind(plist(torch.zeros(4)), lr=1.0)


def test_a_lazy_layer_is_refused_until_it_has_a_shape() -> None:
    net = nn.Sequential(nn.LazyLinear(3))

    with pytest.raises(ValueError, match=r"^0\.weight has no shape yet.*one batch"):
        AdamW().bind(net, lr=0.1)

    net(torch.ones(1, 2))
    drive(AdamW().bind(net, lr=0.1), net, 1)


def test_parameters_that_came_for_others_and_are_in_no_group_are_told() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    drive(adaptor, net, 1)
    nn.utils.parametrizations.weight_norm(net[2])
    set_grads(net, 2)

    with pytest.warns(
        RuntimeWarning, match=r"2\.weight left the module.*2\.parametriz.*add_param_"
    ):
        adaptor.step()
    new = list(net[2].parametrizations.weight.parameters())
    adaptor.add_param_group({"params": new})
    before = [p.detach().clone() for p in new]
    drive(adaptor, net, 3)  # says nothing again

    assert not any(torch.equal(a, b) for a, b in zip(before, new, strict=True))


def test_a_layer_that_was_removed_or_added_alone_is_no_news() -> None:
    net = layers()
    adaptor = AdamW().bind(net, lr=1e-2)
    del net[2]
    drive(adaptor, net, 1)
    net.append(nn.Linear(16, 2))

    drive(adaptor, net, 2)

    departed = adaptor._bound.params.departed()  # pyright: ignore[reportPrivateUsage]  # what users have no face for
    assert [param.path for param in departed] == ["2.weight", "2.bias"]


def test_an_optimizer_whose_groups_were_taken_away_says_so_when_it_is_saved() -> None:
    adaptor = SGD().bind(layers(), lr=0.1)
    adaptor.param_groups.clear()

    with pytest.raises(ValueError, match=r"no groups.*add one: .*add_param_group"):
        adaptor.save_record()
