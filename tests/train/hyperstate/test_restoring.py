"""A state made again: what the program makes is filled, what follows is bound."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from burnish import module
from burnish.config import ConfigError
from burnish.optim import AdamW, ClipGlobalNorm, Group
from burnish.records import RecordMismatchError
from burnish.train import HyperState, Lazy

from .states import Config, Net, State, advance, load, train, weights

torch.set_num_threads(1)


def in_groups(net: Net) -> list[dict[str, Any]]:
    weight, bias = net.layer.weight, net.layer.bias
    return [{"params": [weight]}, {"params": [bias], "lr": 0.5}]


def test_a_module_trained_through_its_optimizer_is_not_stale(
    tmp_path: Path,
) -> None:
    @dataclass
    class Trained(Lazy):
        step: int
        net: Net
        optim: torch.optim.Optimizer

    def initial(config: Config) -> Trained:
        net = Net(config.width)
        return Trained(0, net, torch.optim.SGD(net.parameters(), lr=1.0))

    run = HyperState.load(Config, Trained, initial, checkpoint_dir=tmp_path)
    advance(run, 1)
    before = weights(run.state.net)
    again = HyperState.load(Config, Trained, initial, checkpoint_dir=tmp_path)
    for param in again.state.optim.param_groups[0]["params"]:
        param.grad = torch.ones_like(param)

    again.state.optim.step()
    advance(again, 2)

    last = HyperState.load(Config, Trained, initial, checkpoint_dir=tmp_path)
    assert weights(last.state.net) == pytest.approx([w - 1 for w in before])


@dataclass
class Filled:
    step: int
    net: nn.Module
    undecorated: nn.Module


def begin_filled(config: Config) -> Filled:
    return Filled(0, Net(config.width), nn.Linear(2, 2))


def test_layers_that_were_frozen_are_frozen_when_the_run_is_resumed(
    tmp_path: Path,
) -> None:
    built = load(tmp_path / "built")
    built.state.net.layer.weight.requires_grad_(False)
    advance(built, 1)
    filled = HyperState.load(
        Config, Filled, begin_filled, checkpoint_dir=tmp_path / "filled"
    )
    filled.state.undecorated.bias.requires_grad_(False)  # type: ignore[union-attr]  # a Linear
    advance(filled, 1)

    first = load(tmp_path / "built").state.net
    second = HyperState.load(
        Config, Filled, begin_filled, checkpoint_dir=tmp_path / "filled"
    ).state.undecorated

    assert [p.requires_grad for p in first.parameters()] == [False, True]
    assert [p.requires_grad for p in second.parameters()] == [True, False]


@dataclass
class Empty(Filled):
    """A state that is falsy, as one that counts what it has seen."""

    def __len__(self) -> int:
        return 0


def test_a_falsy_state_is_begun_once_for_all_its_objects(tmp_path: Path) -> None:
    begun: list[Empty] = []

    def begin(config: Config) -> Empty:
        begun.append(Empty(0, nn.Linear(2, 2), nn.Linear(2, 2)))
        return begun[-1]

    run = HyperState.load(Config, Empty, begin, checkpoint_dir=tmp_path)
    advance(run, 1)
    begun.clear()

    state = HyperState.load(Config, Empty, begin, checkpoint_dir=tmp_path).state

    assert len(begun) == 1
    assert state.net is begun[0].net
    assert state.undecorated is begun[0].undecorated


def test_a_smaller_state_loads_if_extras_are_ignored(tmp_path: Path) -> None:
    @dataclass
    class Small:
        step: int

    run = load(tmp_path)
    advance(run, 4)

    def open_small(ignore: bool) -> HyperState[Config, Small]:
        return HyperState.load(
            Config,
            Small,
            lambda _: Small(0),
            checkpoint_dir=tmp_path,
            ignore_extra=ignore,
        )

    assert open_small(True).state == Small(4)
    with pytest.raises(ConfigError, match=r"state\.ron.*net: unknown field|net"):
        open_small(False)


@pytest.mark.parametrize(
    "make",
    [
        lambda net: torch.optim.Adam(net.parameters(), lr=0.01),
        lambda net: torch.optim.SGD(in_groups(net), lr=0.1, momentum=0.9),
        lambda net: AdamW(weight_decay=0.1).bind(net, lr=0.1),
        lambda net: AdamW().bind(net, lr=0.1, groups=[Group("**.bias", lr=0.3)]),
        lambda net: AdamW().bind(net.layer, lr=0.1, clip=ClipGlobalNorm(0.1)),
    ],
    ids=["torch", "groups", "ours", "our groups", "clipped"],
)
def test_an_optimizer_steps_the_restored_parameters_to_the_bit(
    tmp_path: Path, make: Any
) -> None:
    def initial(config: Config) -> State:
        net = Net(config.width)
        return State(0, net, make(net))

    run = HyperState.load(Config, State, initial, checkpoint_dir=tmp_path)
    train(run.state, 3)
    run.step()
    torch.rand(3)

    again = HyperState.load(Config, State, initial, checkpoint_dir=tmp_path)
    train(again.state, 3)
    last = HyperState.load(Config, State, initial, checkpoint_dir=tmp_path)
    train(last.state, 3)

    assert weights(again.state.net) == weights(last.state.net)
    assert weights(again.state.net) != weights(run.state.net)
    again_run = HyperState.load(Config, State, initial, checkpoint_dir=tmp_path)
    train(run.state, 3)
    assert weights(run.state.net) == weights(again.state.net)
    assert again_run.state.step == 3


def test_objects_that_only_the_program_can_make_are_filled(tmp_path: Path) -> None:
    @dataclass
    class Scheduled:
        step: int
        net: nn.Sequential
        optim: torch.optim.Optimizer
        schedule: torch.optim.lr_scheduler.LambdaLR
        scaler: torch.amp.GradScaler

    def initial(config: Config) -> Scheduled:
        net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
        optim = torch.optim.Adam(net.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(optim, lambda n: 0.5**n)
        return Scheduled(0, net, optim, schedule, torch.amp.GradScaler("cpu"))

    def go(state: Scheduled) -> list[float]:
        for _ in range(3):
            state.optim.zero_grad()
            loss = state.net(torch.randn(4, 3)).square().sum()
            state.scaler.scale(loss).backward()
            state.scaler.step(state.optim)
            state.scaler.update()
            state.schedule.step()
            state.step += 1
        return weights(state.net)

    run = HyperState.load(Config, Scheduled, initial, checkpoint_dir=tmp_path)
    go(run.state)
    run.step()
    expected = go(run.state)

    again = HyperState.load(Config, Scheduled, initial, checkpoint_dir=tmp_path)

    assert go(again.state) == expected
    assert again.state.schedule.optimizer is again.state.optim


def test_a_filled_module_may_have_other_hyperparameters_if_that_is_allowed(
    tmp_path: Path,
) -> None:
    @module
    class Dropping(nn.Module):
        def __init__(self, layer: Any, rate: float = 0.1) -> None:
            super().__init__()
            self.layer, self.rate = layer(2, 2), rate

    @dataclass
    class Held:
        net: nn.Module
        step: int = 1

    def begin(rate: float) -> Any:
        return lambda _: Held(Dropping(lambda a, b: nn.Linear(a, b), rate))

    @dataclass(frozen=True)
    class Empty:
        size: int = 1

    load: Any = HyperState.load
    load(Empty, Held, begin(0.1), checkpoint_dir=tmp_path).save()

    with pytest.raises(RecordMismatchError, match=r"rate: stored 0\.1"):
        load(Empty, Held, begin(0.5), checkpoint_dir=tmp_path)
    run = load(
        Empty, Held, begin(0.5), checkpoint_dir=tmp_path, hyperparameters="ignore"
    )

    assert run.state.net.rate == 0.5


def test_an_optimizer_with_parameters_of_other_modules_goes_on_to_the_bit(
    tmp_path: Path,
) -> None:
    def begin_added(config: Config) -> State:
        net = Net(config.width)
        optim = AdamW().bind(net.layer, lr=0.1)
        net.register_parameter("scale", nn.Parameter(torch.ones(3)))
        optim.add_param_group({"params": [net.scale], "lr": 0.5})
        return State(0, net, optim)

    def opened(folder: str) -> Any:
        return HyperState.load(
            Config, State, begin_added, checkpoint_dir=tmp_path / folder
        )

    def advance_by(run: Any, n_steps: int) -> None:
        for _ in range(n_steps):
            run.state.optim.zero_grad()
            out = run.state.net.layer(torch.randn(4, 3)) * run.state.net.scale
            out.square().sum().backward()
            run.state.optim.step()
            run.state.step += 1
            run.step()

    torch.manual_seed(0)
    straight = opened("straight")
    advance_by(straight, 4)
    torch.manual_seed(0)
    advance_by(opened("broken"), 2)
    resumed = opened("broken")
    advance_by(resumed, 2)

    assert weights(resumed.state.net) == weights(straight.state.net)
    assert [g["lr"] for g in resumed.state.optim.param_groups] == [0.1, 0.5]


@dataclass
class Searching:
    step: int
    net: Net
    optim: torch.optim.Optimizer
    schedule: Any
    best: Net | None = None


def search(config: Config) -> Searching:
    """Return a state whose schedule only the program can make."""
    net = Net(2)
    optim = torch.optim.SGD(net.parameters(), lr=0.1)
    return Searching(0, net, optim, torch.optim.lr_scheduler.StepLR(optim, 1))


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_module_that_came_while_the_run_went_on_comes_back_beside_filled_ones(
    tmp_path: Path, is_copied: bool
) -> None:
    run = HyperState.load(Config, Searching, search, checkpoint_dir=tmp_path)
    net = run.state.net
    run.state.best = copy.deepcopy(net) if is_copied else net
    advance(run, 1)

    again = HyperState.load(Config, Searching, search, checkpoint_dir=tmp_path).state

    assert again.best is not None
    assert weights(again.best) == weights(net)
    assert (again.best is again.net) is not is_copied


def test_two_objects_are_not_filled_into_one_that_the_program_makes(
    tmp_path: Path,
) -> None:
    def begin(config: Config) -> Searching:
        state = search(config)
        state.best = state.net
        return state

    run = HyperState.load(Config, Searching, begin, checkpoint_dir=tmp_path)
    run.state.best = copy.deepcopy(run.state.net)
    advance(run, 1)

    with pytest.raises(
        RecordMismatchError, match=r"stored as a separate object from .*deepcopy"
    ):
        HyperState.load(Config, Searching, begin, checkpoint_dir=tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        lambda net: AdamW().bind(net, lr=0.5),
        lambda net: torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9),
    ],
)
def test_an_optimizer_that_came_while_the_run_went_on_steps_the_filled_module(
    make: Any, tmp_path: Path
) -> None:
    @dataclass
    class Twice(Searching):
        finer: torch.optim.Optimizer | None = None

    def begin(config: Config) -> Twice:
        return Twice(**vars(search(config)))

    run = HyperState.load(Config, Twice, begin, checkpoint_dir=tmp_path)
    run.state.finer = make(run.state.net)
    run.state.net.layer(torch.ones(run.state.net.layer.in_features)).sum().backward()
    run.state.finer.step()
    advance(run, 1)

    state = HyperState.load(Config, Twice, begin, checkpoint_dir=tmp_path).state

    for each in (run.state, state):
        each.net.layer.weight.grad = torch.ones_like(each.net.layer.weight)
        each.net.layer.bias.grad = None
        assert each.finer is not None
        each.finer.step()
    assert weights(state.net) == weights(run.state.net)


@pytest.mark.parametrize("text", ["blob:state.net.mpk>", "<blob:state.net.mpk", "x"])
@pytest.mark.parametrize("field", ["net", "optim"])
def test_a_text_in_the_place_of_an_object_is_refused(
    tmp_path: Path, field: str, text: str
) -> None:
    advance(load(tmp_path), 3)
    state = tmp_path / "latest-step000000000003" / "state.ron"
    marker = f'{field}: "<blob:state.{field}.mpk>"'
    assert marker in state.read_text()
    state.write_text(state.read_text().replace(marker, f'{field}: "{text}"'))

    with pytest.raises(
        ConfigError, match=rf"{field}: found '{text}', expected '<blob:F"
    ):
        load(tmp_path)


def test_a_text_that_is_declared_beside_objects_comes_back(tmp_path: Path) -> None:
    @dataclass
    class Trial:
        step: int
        net: torch.nn.Module | Literal["off"]

    def load_trial() -> HyperState[Config, Trial]:
        return HyperState.load(
            Config,
            Trial,
            lambda _: Trial(0, "off"),
            checkpoint_dir=tmp_path,
            checkpoint_key="step",
        )

    run = load_trial()
    run.state.step = 1
    run.step()

    assert load_trial().state.net == "off"
    text = tmp_path / "latest-step000000000001" / "state.ron"
    text.write_text(text.read_text().replace('"off"', '"<blob:state.net.mpk"'))
    with pytest.raises(ConfigError, match=r"net: found '<blob:state\.net\.mpk'"):
        load_trial()


def test_a_text_among_objects_is_refused(tmp_path: Path) -> None:
    @dataclass
    class Ensemble:
        step: int
        nets: list[torch.nn.Module]

    def begin(_: Config) -> Ensemble:
        return Ensemble(0, [torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)])

    def load_ensemble() -> HyperState[Config, Ensemble]:
        return HyperState.load(Config, Ensemble, begin, checkpoint_dir=tmp_path)

    advance(load_ensemble(), 3)
    state = tmp_path / "latest-step000000000003" / "state.ron"
    state.write_text(state.read_text().replace("<blob:", "<blb:"))

    with pytest.raises(ConfigError, match=r"nets\[1\]: found '<blb:state\.nets\.1"):
        load_ensemble()


@dataclass
class Counting:
    count: Tensor
    n: int = 0
    path: Path = Path()

    def __post_init__(self) -> None:
        self.count, self.n = self.count + 1, self.n + 1
        self.path = Path(f"{self.path}")


@dataclass
class Completing:
    step: int
    parts: list[Counting]
    weight: Tensor
    hist: list[int] = field(default_factory=list[int])
    double: int | None = None

    def __post_init__(self) -> None:
        self.weight, self.hist = self.weight * 2, [*self.hist, 0]
        if self.double is None:
            self.double = 2 * self.step


@dataclass
class LazyCompleting(Lazy):
    step: int
    weight: Tensor
    hist: list[int] = field(default_factory=list[int])
    n: int | None = None

    def __post_init__(self) -> None:
        self.hist, self.n = [*self.hist, 0], 7 if self.n is None else self.n


def test_what_a_constructor_adds_to_stored_values_is_not_added_twice(
    tmp_path: Path,
) -> None:
    def begun(_: Config) -> Completing:
        parts = [Counting(torch.tensor([1.0, torch.nan]))]
        return Completing(1, parts, torch.ones(2))

    run = HyperState.load(Config, Completing, begun, checkpoint_dir=tmp_path)
    run.save()
    for _ in range(2):
        with (
            pytest.warns(RuntimeWarning, match="Completing changes"),
            pytest.warns(RuntimeWarning, match="Counting changes"),
        ):
            run = HyperState.load(Config, Completing, begun, checkpoint_dir=tmp_path)
        run.save()
    state = run.state

    assert (state.hist, state.double, state.weight.tolist()) == ([0], 2, [2.0, 2.0])
    assert (state.parts[0].n, state.parts[0].path) == (1, Path())
    assert state.parts[0].count[0] == 2.0


def test_a_lazy_state_completes_what_is_missing_and_nothing_else(
    tmp_path: Path,
) -> None:
    def load() -> HyperState[Config, LazyCompleting]:
        return HyperState.load(
            Config,
            LazyCompleting,
            lambda _: LazyCompleting(0, torch.ones(1)),
            checkpoint_dir=tmp_path,
        )

    run = load()
    run.save()
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="LazyCompleting changes hist;"):
            run = load()
        run.state.step += 1
        run.save()

    assert (run.state.hist, run.state.n) == ([0], 7)


@dataclass
class InPlace:
    count: Tensor
    array: NDArray[np.float64]
    step: int = 0
    hist: list[int] = field(default_factory=list[int])
    options: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def __post_init__(self) -> None:
        self.count.add_(1)
        self.array[:] += 1
        self.hist.append(0)
        self.options.setdefault("a", []).append(0)


@dataclass
class Viewing:
    array: NDArray[np.float64]
    step: int = 0

    def __post_init__(self) -> None:
        self.array = np.flip(self.array[::-1].copy())
        self.array.flags.writeable = False


def test_what_a_constructor_changes_in_place_is_not_changed_twice(
    tmp_path: Path,
) -> None:
    def begun(_: Config) -> InPlace:
        return InPlace(torch.zeros(1), np.zeros(1))

    HyperState.load(Config, InPlace, begun, checkpoint_dir=tmp_path).save()
    with pytest.warns(RuntimeWarning, match="changes count, array, hist, options;"):
        run = HyperState.load(Config, InPlace, begun, checkpoint_dir=tmp_path)

    state = run.state
    assert (state.count.item(), state.array.tolist()) == (1.0, [1.0])
    assert (state.hist, state.options) == ([0], {"a": [0]})


def test_an_array_may_lie_in_any_way_once_its_constructor_is_through(
    tmp_path: Path,
) -> None:
    def begun(_: Config) -> Viewing:
        return Viewing(np.arange(3.0))

    for _ in range(2):
        run = HyperState.load(Config, Viewing, begun, checkpoint_dir=tmp_path)
        run.save()

    assert run.state.array.tolist() == [0.0, 1.0, 2.0]  # pyright: ignore[reportPossiblyUnboundVariable]  # of the loop
