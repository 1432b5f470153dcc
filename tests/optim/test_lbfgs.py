"""LBFGS over a whole module: bound, saved and refused as all others."""

import inspect
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.optim import (
    LBFGS,
    AdamW,
    SimpleOptimizer,
)
from burnish.optim.schedulers import Cosine
from burnish.records import (
    RecordMismatchError,
)

from .every_optimizer import alike, net
from .nets import tree, values


def test_lbfgs_is_bound_as_all_others_and_says_so() -> None:
    net: Any = nn.Linear(2, 2)
    kind: Any = LBFGS

    with pytest.raises(TypeError, match=r"LBFGS\(max_iter=5\)\.bind\(net, lr=0\.5\)"):
        kind(net, max_iter=5, lr=0.5)
    bound: Any = LBFGS(max_iter=5).bind(net, lr=0.5)

    assert isinstance(bound, torch.optim.LBFGS)
    assert bound.param_groups[0]["max_iter"] == 5


def test_a_record_of_lbfgs_of_another_length_is_refused() -> None:
    net: Any = nn.Linear(2, 2)
    bound: Any = LBFGS(max_iter=2).bind(net)

    def closure() -> Any:
        bound.zero_grad()
        loss = net(torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    bound.step(closure)
    record = bound.into_record()
    record.values["prev_flat_grad"] = torch.zeros(3)

    with pytest.raises(RecordMismatchError, match=r"3 elements.*parameters have 6"):
        bound.load_record(record)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.sizes.pop(),
        lambda record: record.ids.pop(),
        lambda record: record.paths.append("more"),
        lambda record: record.sizes.__setitem__(slice(None), [-1, 7]),
    ],
)
def test_a_record_of_lbfgs_whose_lists_do_not_match_is_refused(change: Any) -> None:
    net = nn.Linear(2, 2)
    record = LBFGS().bind(net).into_record()
    change(record)

    with pytest.raises(RecordMismatchError, match="expected one of each per parameter"):
        LBFGS().bind(net).load_record(record)


def test_lbfgs_takes_the_renames_of_all_others() -> None:
    first = LBFGS().bind(tree(one=nn.Linear(2, 2)))
    second = LBFGS().bind(tree(first=nn.Linear(2, 2)))

    report = second.load_record(first.save_record(), rename={"one": "first"})

    assert report.loaded == ["first.weight", "first.bias"]
    with pytest.raises(ValueError, match="'keep' or 'restore', got 'x'"):
        second.load_record(first.save_record(), hyperparameters="x")  # type: ignore[arg-type]


def test_lbfgs_goes_on_from_its_record_even_in_another_order(tmp_path: Path) -> None:
    x = torch.tensor([[1.0, 0.5], [2.0, -1.0], [3.0, 0.1]])
    one = tree(a=nn.Linear(2, 3), b=nn.Linear(3, 1))
    two = tree(b=nn.Linear(3, 1), a=nn.Linear(2, 3))

    def closure(net: Any, optimizer: Any) -> Callable[[], Any]:
        def loss() -> Any:
            optimizer.zero_grad()
            found = (net["b"](net["a"](x).tanh()) - 1).square().sum()
            found.backward()
            return found

        return loss

    first: Any = LBFGS(max_iter=5, line_search_fn="strong_wolfe").bind(one)
    first.step(closure(one, first))
    first.save_record(tmp_path / "lbfgs.mpk")
    two.load_state_dict(one.state_dict())
    second: Any = LBFGS(max_iter=5, line_search_fn="strong_wolfe").bind(two)
    second.load_record(tmp_path / "lbfgs.mpk")
    losses = [o.step(closure(n, o)).item() for o, n in ((first, one), (second, two))]

    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    assert torch.allclose(one["a"].weight, two["a"].weight, atol=1e-5)
    with pytest.raises(RecordMismatchError, match="not stored"):
        LBFGS().bind(nn.Linear(2, 2)).load_record(tmp_path / "lbfgs.mpk")


def lbfgs() -> tuple[Any, Any, Callable[[], Any]]:
    """Return a module, its LBFGS after a step, and the closure of the next."""
    model = net()
    optimizer: Any = LBFGS(max_iter=3).bind(model, lr=0.5)

    def closure() -> Any:
        optimizer.zero_grad()
        loss: Any = (
            model[1](model[0](torch.ones(2, model[0].in_features))).square().sum()
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    return model, optimizer, closure


def test_a_state_of_lbfgs_that_somebody_changed_is_named() -> None:
    fields = ["n_iter", "d", "t", "old_dirs", "old_stps", "ro", "H_diag"]

    for name in [*fields, "prev_flat_grad", "prev_loss"]:
        model, optimizer, closure = lbfgs()
        weights = values(model)
        del optimizer.state[model[0].weight][name]

        with pytest.raises(ValueError, match=f"it lacks {name}. Nothing was changed"):
            optimizer.step(closure)

        assert alike(values(model), weights)

    model, optimizer, closure = lbfgs()
    optimizer.state[model[0].weight]["d"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"d: a vector of 3 elements.* have 48"):
        optimizer.step(closure)


def test_lbfgs_refuses_a_parameter_of_another_shape_and_goes_on_without_a_state() -> (
    None
):
    model, optimizer, closure = lbfgs()
    model[0].weight.data, model[0].in_features = torch.ones(6, 5), 5
    with pytest.raises(ValueError, match=r"elements, but the parameters have 54"):
        optimizer.step(closure)

    model, optimizer, closure = lbfgs()
    optimizer.state.clear()
    before = closure()
    optimizer.step(closure)

    assert closure() < before


def test_lbfgs_takes_no_second_group_since_it_would_never_step_it() -> None:
    _, optimizer, _ = lbfgs()

    with pytest.raises(ValueError, match="cannot take another group"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2))]})

    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("lr", [Cosine(1.0, 10), "1", True, None])
def test_lbfgs_takes_a_number_as_its_rate_and_says_so(lr: Any) -> None:
    with pytest.raises(TypeError, match="of LBFGS must be a number, got"):
        LBFGS().bind(nn.Linear(2, 1), lr=lr)


@pytest.mark.parametrize(
    "option", [*inspect.signature(SimpleOptimizer.bind).parameters][3:]
)
def test_lbfgs_says_why_it_has_none_of_the_options_of_others(option: str) -> None:
    options: dict[str, Any] = {option: None}

    with pytest.raises(TypeError, match=rf"'{option}'\. It steps all param.*together"):
        LBFGS(**options)
    with pytest.raises(TypeError, match=rf"'{option}'\. It steps all param.*together"):
        LBFGS().bind(nn.Linear(2, 1), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"line_search_fn": "wolfe"}, "must be 'strong_wolfe' or None, got 'wolfe'"),
        ({"history_size": 0}, "history_size must be at least 1, got 0"),
    ],
    ids=["line search", "history"],
)
def test_what_no_step_would_take_is_refused_when_it_is_given(
    options: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        LBFGS(**options)


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
@pytest.mark.parametrize("interrupted_call", [1, 3, 8, 12])
def test_a_step_whose_closure_is_interrupted_changes_nothing(
    interrupted_call: int, line_search: Any
) -> None:
    interrupted = _minimized(line_search, interrupted_call)
    straight = _minimized(line_search, None)

    assert all(map(torch.equal, interrupted.parameters(), straight.parameters()))


def _minimized(line_search: Any, interrupted_call: int | None) -> nn.Module:
    """Return a module after four whole steps, and after one that was interrupted."""
    torch.manual_seed(0)
    net, x, calls = nn.Linear(4, 2), torch.randn(16, 4), itertools.count(1)
    simple = LBFGS(line_search_fn=line_search, max_iter=5)
    optimizer = simple.bind(net, lr=0.5)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = (net(x) - x[:, :2].sin()).abs().pow(1.5).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's backward has no types
        if next(calls) == interrupted_call:
            raise KeyboardInterrupt
        return loss

    n_whole = 0
    while n_whole < 4:
        before = [p.detach().clone() for p in net.parameters()]
        try:
            optimizer.step(closure)
            n_whole += 1
        except KeyboardInterrupt:
            assert all(map(torch.equal, before, net.parameters()))
    return net


def test_hooks_around_a_step_of_lbfgs_are_called_once() -> None:
    # The first optimizer of this class wraps the step of torch's.
    torch.optim.LBFGS([nn.Parameter(torch.ones(2))])
    net = nn.Linear(2, 1)
    optimizer, calls = LBFGS(max_iter=1).bind(net), list[str]()
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))

    optimizer.step(lambda: net(torch.ones(2)).square().sum())

    assert calls == ["before", "after"]


def test_what_other_optimizers_saved_is_refused_with_their_name(tmp_path: Path) -> None:
    net = nn.Linear(2, 1)
    lbfgs, adamw = LBFGS().bind(net), AdamW().bind(net, lr=0.1)
    adamw.save_record(tmp_path / "adamw.mpk")

    with pytest.raises(RecordMismatchError, match=r"of AdamW, expected that of LBFGS"):
        lbfgs.load_state_dict(adamw.state_dict())
    with pytest.raises(RecordMismatchError, match=r"expected one with state and"):
        lbfgs.load_state_dict({"model": net.state_dict()})
    with pytest.raises(RecordMismatchError, match="found an OptimizerRecord, expected"):
        lbfgs.load_record(tmp_path / "adamw.mpk")

    assert lbfgs.param_groups[0]["max_iter"] == 20
