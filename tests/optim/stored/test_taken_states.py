"""What is kept for parameters that rules made of others goes on with them."""

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import burnish.optim
from burnish.core import load_record
from burnish.optim import (
    ASGD,
    LAMB,
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Adan,
    Group,
    Lion,
    Muon,
    NAdam,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFreeAdamW,
    SimpleOptimizer,
)

from ..nets import UserAdamW
from .upgrades import (
    CHANGES,
    Change,
    convert,
    from_the_start,
    grads_of,
    step,
    trained,
)

BY_ELEMENT: list[SimpleOptimizer[Any]] = [
    *(SGD(), SGD(momentum=0.9), Adam(amsgrad=True), AdamW(), Adan(), Adagrad()),
    *(RMSprop(momentum=0.9, centered=True), Lion(), NAdam(), RAdam(), Adamax()),
    *(Adadelta(), ASGD(), Rprop(), ScheduleFreeAdamW(), UserAdamW()),
]
"""Those that step each element by itself."""


def name_of(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize("simple", BY_ELEMENT, ids=name_of)
@pytest.mark.parametrize("rule", CHANGES)
def test_the_next_step_is_that_of_a_network_of_the_new_shape(
    rule: str, simple: SimpleOptimizer[Any]
) -> None:
    change = CHANGES[rule]
    old, old_optimizer = trained(change, simple)
    twin, twin_optimizer = from_the_start(change, simple, 3)

    net = change.new_class().from_record(old.save_record())
    optimizer = simple.bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())
    for seed in (3, 4):
        grads = change.as_new(grads_of(old, seed))
        step(net, optimizer, grads)
        step(twin, twin_optimizer, grads)

    assert report.changed == []
    assert report.missing == []
    close(net, twin)


@pytest.mark.parametrize("simple", [LAMB(), Muon()], ids=name_of)
@pytest.mark.parametrize("rule", ["split", "merge", "transpose"])
def test_state_by_element_of_a_step_over_whole_tensors_is_carried_too(
    rule: str, simple: SimpleOptimizer[Any]
) -> None:
    change = CHANGES[rule]
    change = Change(
        change.rules,
        {path: shape for path, shape in change.old.items() if path != "b"},
        {path: shape for path, shape in change.new.items() if path != "b"},
    )
    old, old_optimizer = trained(change, simple)
    # Its weights go another way, but the gradients, and so the state, are the same.
    twin, twin_optimizer = from_the_start(
        change,
        simple,
        3,
        lambda old, new: new.load_state_dict(change.as_new(old.state_dict())),
    )

    net = change.new_class().from_record(old.save_record())
    optimizer = simple.bind(net, lr=0.1)
    optimizer.load_record(old_optimizer.save_record())
    grads = change.as_new(grads_of(old, 3))
    step(net, optimizer, grads)
    step(twin, twin_optimizer, grads)

    close(net, twin)


def test_each_simple_optimizer_is_carried_or_begins_anew() -> None:
    tested = {type(simple) for simple in BY_ELEMENT} | {LAMB, Muon, Adafactor}

    simples = {
        cls
        for name in burnish.optim.__all__
        if isinstance(cls := getattr(burnish.optim, name), type)
        and issubclass(cls, SimpleOptimizer)
        and cls is not SimpleOptimizer
    }
    # CONTRIBUTING.md tells of this among the steps of a new optimizer.
    assert simples <= tested


@pytest.mark.parametrize("rule", CHANGES)
def test_factored_variances_begin_anew(rule: str) -> None:
    change = CHANGES[rule]
    old, old_optimizer = trained(change, Adafactor())

    net = change.new_class().from_record(old.save_record())
    optimizer = Adafactor().bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())

    paths = [path for path in change.new if path != "b"]
    assert report.missing == paths
    assert [line.split(":")[0] for line in report.changed] == paths
    assert all("its state starts from scratch: " in line for line in report.changed)
    assert all("row_var of shape" in line for line in report.changed)
    step(net, optimizer, grads_of(net, 0))


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> dict[str, SimpleOptimizer[Any]]:
    monkeypatch.syspath_prepend("examples/optimizers")
    return {
        "SOAP": importlib.import_module("soap").SOAP(),
        "Prodigy": importlib.import_module("prodigy").Prodigy(),
    }


@pytest.mark.parametrize(
    ("name", "rule", "field"),
    [
        ("SOAP", "split", "rows"),
        ("SOAP", "transpose", "rows"),
        ("Prodigy", "split", "gain"),
        ("Prodigy", "merge", "gain"),
    ],
)
def test_plugins_with_more_than_elements_begin_anew(
    plugins: dict[str, SimpleOptimizer[Any]], name: str, rule: str, field: str
) -> None:
    change, simple = CHANGES[rule], plugins[name]
    old, old_optimizer = trained(change, simple)

    net = change.new_class().from_record(old.save_record())
    optimizer = simple.bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())

    assert report.missing == [path for path in change.new if path != "b"]
    assert all(f"scratch: {field} of shape" in line for line in report.changed)
    step(net, optimizer, grads_of(net, 0))


def test_a_sum_over_all_elements_is_carried_by_a_transpose(
    plugins: dict[str, SimpleOptimizer[Any]],
) -> None:
    change, simple = CHANGES["transpose"], plugins["Prodigy"]
    old, old_optimizer = trained(change, simple)

    net = change.new_class().from_record(old.save_record())
    optimizer = simple.bind(net, lr=0.1)
    optimizer.load_record(old_optimizer.save_record())

    fields, old_fields = optimizer.state[net.c.w], old_optimizer.state[old.c.w]
    assert torch.equal(fields["gain"], old_fields["gain"])
    assert torch.equal(fields["mean"], old_fields["mean"].T)


def test_masters_are_carried_with_their_weights() -> None:
    change = CHANGES["split"]
    options: Any = {"dtype": torch.bfloat16, "master_dtype": torch.float32}
    old, old_optimizer = trained(change, AdamW(), **options)

    net = convert(change.new_class()(), torch.bfloat16)
    load_record(net, old.save_record())
    optimizer = AdamW().bind(net, lr=0.1, master_dtype=torch.float32)
    optimizer.load_record(old_optimizer.save_record())

    masters = [optimizer.state[p]["master"] for p in (net.q, net.k, net.v)]
    assert torch.equal(torch.cat(masters), old_optimizer.state[old.qkv]["master"])


def test_pairs_of_complex_parameters_are_carried() -> None:
    change = CHANGES["merge"]
    old, old_optimizer = trained(change, AdamW(), dtype=torch.complex64)

    net = convert(change.new_class()(), torch.complex64)
    load_record(net, old.save_record())
    optimizer = AdamW().bind(net, lr=0.1)
    optimizer.load_record(old_optimizer.save_record())

    parts = [old_optimizer.state[p]["exp_avg"] for p in (old.q, old.k)]
    assert torch.equal(optimizer.state[net.qk]["exp_avg"], torch.cat(parts, 1))


def test_complex_states_of_a_state_dict_are_carried() -> None:
    change = CHANGES["merge"]
    old, old_optimizer = trained(change, AdamW(), dtype=torch.complex64)
    net = convert(change.new_class()(), torch.complex64)
    load_record(net, old.save_record())

    optimizer = AdamW().bind(net, lr=0.1)
    optimizer.load_state_dict(old_optimizer.state_dict())

    parts = [old_optimizer.state[p]["exp_avg"] for p in (old.q, old.k)]
    assert torch.equal(optimizer.state[net.qk]["exp_avg"], torch.cat(parts, 1))


def test_merged_parameters_whose_counters_differ_are_named() -> None:
    change = CHANGES["merge"]
    old, old_optimizer = trained(change, AdamW(), 2)
    grads = grads_of(old, 2)
    del grads["q"]
    step(old, old_optimizer, grads)

    net = change.new_class().from_record(old.save_record())
    optimizer = AdamW().bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())

    assert report.changed == [
        "qk: built from q, k, whose step differ (2, 3): continues with 2"
    ]
    assert optimizer.state[net.qk]["step"] == 2
    means = [old_optimizer.state[p]["exp_avg"] for p in (old.q, old.k)]
    assert torch.equal(optimizer.state[net.qk]["exp_avg"], torch.cat(means, 1))


def test_a_part_that_was_never_stepped_lets_the_whole_begin_anew() -> None:
    change = CHANGES["merge"]
    old, old_optimizer = trained(change, AdamW(), 0)
    grads = grads_of(old, 0)
    del grads["k"]
    step(old, old_optimizer, grads)

    net = change.new_class().from_record(old.save_record())
    optimizer = AdamW().bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())

    assert report.changed == [
        "qk: built from q, k; its state starts from scratch: k has no state"
    ]
    assert report.missing == ["qk"]
    assert net.qk not in optimizer.state


def test_parts_of_several_optimizers_begin_anew() -> None:
    change = CHANGES["merge"]
    old = change.old_net()
    groups = [Group("k", optimizer=SGD(momentum=0.9))]
    old_optimizer = AdamW().bind(old, lr=0.1, groups=groups)
    step(old, old_optimizer, grads_of(old, 0))

    net = change.new_class().from_record(old.save_record())
    optimizer = AdamW().bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())

    assert report.changed[0].endswith("k has the state of SGD, but AdamW steps it")


class Counted(burnish.Record):
    seen: Tensor
    rows: dict[str, list[Tensor]]


class Counting(SimpleOptimizer[Counted]):
    """A state with a tensor for a counter, and moments in a nest."""

    def init(self, tensor: Tensor) -> Counted:
        return Counted(
            torch.zeros((), dtype=torch.int64), {"m": [torch.zeros_like(tensor)]}
        )

    def step(
        self, lr: float, tensor: Tensor, grad: Tensor, state: Counted
    ) -> tuple[Tensor, Counted]:
        mean = 0.9 * state.rows["m"][0] + grad
        return tensor - lr * mean, Counted(state.seen + 1, {"m": [mean]})


def test_moments_in_a_nest_and_integer_tensors_are_carried() -> None:
    change = CHANGES["split"]
    old, old_optimizer = trained(change, Counting())

    net = change.new_class().from_record(old.save_record())
    optimizer = Counting().bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())

    assert report.changed == []
    fields = optimizer.state[net.k]
    assert fields["seen"].item() == 3
    moments = old_optimizer.state[old.qkv]["rows"]["m"][0]
    assert torch.equal(fields["rows"]["m"][0], moments[2:5])


class Large(Counting):
    def init(self, tensor: Tensor) -> Counted:
        if tensor.numel() < 8:
            raise ValueError("too small")
        return super().init(tensor)


def test_a_state_that_small_tensors_do_not_have_begins_anew() -> None:
    change = Change(CHANGES["merge"].rules, {"q": (3, 4), "k": (3, 4)}, {"qk": (3, 8)})
    old, old_optimizer = trained(change, Large())

    net = change.new_class().from_record(old.save_record())
    optimizer = Large().bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())

    assert report.missing == ["qk"]
    assert report.changed[0].endswith(
        "init() failed for a small tensor: a parameter: too small"
    )


def test_scalars_in_a_stack_keep_their_moments_apart_from_their_counter() -> None:
    change = Change(
        CHANGES["stack"].rules, {f"h.{i}.w": () for i in range(3)}, {"w": (3,)}
    )
    old, old_optimizer = trained(change, Counting())

    net = change.new_class().from_record(old.save_record())
    optimizer = Counting().bind(net, lr=0.1)
    optimizer.load_record(old_optimizer.save_record())

    fields = optimizer.state[net.w]
    assert fields["seen"].item() == 3
    moments = [old_optimizer.state[p]["rows"]["m"][0] for p in old.parameters()]
    assert torch.equal(fields["rows"]["m"][0], torch.stack(moments))


def test_rows_that_tools_keep_beside_a_state_stay_behind() -> None:
    change = CHANGES["split"]
    old, old_optimizer = trained(change, AdamW())
    old_optimizer.state[old.qkv]["tool"] = torch.ones(2)

    net = change.new_class().from_record(old.save_record())
    optimizer = AdamW().bind(net, lr=0.1)
    report = optimizer.load_record(old_optimizer.save_record())

    assert "tool" not in optimizer.state[net.q]
    assert report.missing == []


def close(net: nn.Module, twin: nn.Module) -> None:
    for (path, value), expected in zip(
        net.named_parameters(), twin.parameters(), strict=True
    ):
        torch.testing.assert_close(value, expected, msg=path)
