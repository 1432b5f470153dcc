import os
import pickle
import shutil
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch
from torch import nn

from burnish import module
from burnish.config import ConfigError, Hparams, RenameField, RewriteRule, Versioned
from burnish.optim import AdamW, ClipGlobalNorm, Group, OptimizerAdaptor
from burnish.records import RecordError, RecordFormatError, RecordMismatchError
from burnish.train import Blob, HyperState, Lazy, Serializable

from ..killed import killed_everywhere

torch.set_num_threads(1)


class Mode(Enum):
    FAST = "fast"
    EXACT = "exact"


@dataclass
class Optim:
    lr: float = 0.1
    n_warm: int = 3


@dataclass
class Config:
    optim: Optim = field(default_factory=Optim)
    width: int = 3
    mode: Mode = Mode.FAST


@module
class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)


@dataclass
class State:
    step: int
    net: Net
    optim: torch.optim.Optimizer
    mode: Mode = Mode.EXACT
    seen: list[int] = field(default_factory=list[int])


@dataclass
class LazyState(Lazy):
    step: int
    net: Net
    other: Net


calls: list[Any] = []


def begin(config: Config) -> State:
    calls.append(config)
    net = Net(config.width)
    return State(0, net, torch.optim.Adam(net.parameters(), lr=config.optim.lr))


def begin_lazy(config: Config) -> LazyState:
    return LazyState(0, Net(config.width), Net(config.width))


def load(folder: Path, **options: Any) -> HyperState[Config, State]:
    return HyperState.load(Config, State, begin, checkpoint_dir=folder, **options)


def advance(run: HyperState[Any, Any], step: int) -> None:
    run.state.step = step
    run.step()


def weights(module: nn.Module) -> list[float]:
    return [float(x) for p in module.parameters() for x in p.detach().flatten()]


def train(state: State, n_steps: int) -> None:
    for _ in range(n_steps):
        state.optim.zero_grad()
        state.net.layer(torch.randn(4, 3)).square().sum().backward()
        state.optim.step()
        state.step += 1


def in_groups(net: Net) -> list[dict[str, Any]]:
    weight, bias = net.layer.weight, net.layer.bias
    return [{"params": [weight]}, {"params": [bias], "lr": 0.5}]


def test_one_folder_with_config_state_and_a_file_per_object(tmp_path: Path) -> None:
    run = load(tmp_path)

    advance(run, 50)

    assert os.listdir(tmp_path) == ["latest-step000000000050"]
    texts = {"config.ron", "state.ron", "digests.txt"}
    records = {"state.net.mpk", "state.optim.mpk", "rng.mpk"}
    assert set(os.listdir(tmp_path / "latest-step000000000050")) == texts | records
    advance(run, 60)
    assert os.listdir(tmp_path) == ["latest-step000000000060"]


def test_older_ones_are_kept_without_latest_in_their_names(tmp_path: Path) -> None:
    run = load(tmp_path, keep_last=2)

    for step in (1, 2, 3):
        advance(run, step)

    assert sorted(os.listdir(tmp_path)) == [
        "latest-step000000000003",
        "step000000000002",
    ]


def test_step_twice_at_one_key_keeps_the_checkpoint(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 5)
    run.state.seen = [1]

    advance(run, 5)
    again = load(tmp_path)
    advance(run, 6)

    assert again.state.seen == [1]
    assert load(tmp_path).state.step == 6


def test_a_new_manager_continues_without_the_initial_state(tmp_path: Path) -> None:
    run = load(tmp_path, overrides=["width=3", "mode=exact"])
    train(run.state, 2)
    advance(run, 60)
    n_calls = len(calls)

    again = load(tmp_path)

    assert len(calls) == n_calls
    assert again.state.step == 60
    assert weights(again.state.net) == weights(run.state.net)
    assert again.config == run.config
    assert again.state.mode is Mode.EXACT


def test_lazy_fields_are_read_when_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    advance(run, 1)
    opened: list[str] = []
    from burnish.train.hyperstate import restoring, state_objects

    real = state_objects.open_object

    def counted(file: Path, name: str, *options: Any) -> Any:
        opened.append(name)
        return real(file, name)

    monkeypatch.setattr(restoring, "open_object", counted)

    again = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    assert again.state.step == 1
    assert opened == []
    first = again.state.net
    assert opened == ["net"]
    assert again.state.net is first
    assert opened == ["net"]
    (tmp_path / "latest-step000000000001/state.other.mpk").unlink()
    with pytest.raises(FileNotFoundError, match=r"'other' is missing.*state\.other"):
        _ = again.state.other
    assert again.state.step == 1


def test_what_was_never_touched_is_carried_into_new_checkpoints(
    tmp_path: Path,
) -> None:
    run = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    advance(run, 1)
    expected = weights(run.state.other)

    again = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    advance(again, 2)
    advance(again, 3)

    assert weights(again.state.other) == expected
    last = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir=tmp_path)
    assert weights(last.state.other) == expected


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


def test_objects_in_lists_and_dicts_and_odd_tensors_come_back(
    tmp_path: Path,
) -> None:
    @dataclass
    class Many:
        step: int
        nets: list[Net]
        named: dict[str, Net]
        tensors: dict[str, torch.Tensor]
        array: np.ndarray[Any, Any]
        table: Blob[dict[str, list[int]]]
        twice: Net | None = None

    net = Net(2)
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "bf16": torch.tensor([1.5], dtype=torch.bfloat16),
        "scalar": torch.tensor(4),
        "strided": base.t(),
        "a/b..": base,
    }

    def initial(config: Config) -> Many:
        table = {"x": [1, 2]}
        named = {"a.b": Net(1), "c": Net(2)}
        array = np.arange(4)[::2]
        return Many(0, [net, Net(3)], named, tensors, array, table, twice=net)

    run = HyperState.load(Config, Many, initial, checkpoint_dir=tmp_path)
    advance(run, 1)
    again = HyperState.load(Config, Many, initial, checkpoint_dir=tmp_path).state

    assert [weights(n) for n in again.nets] == [weights(n) for n in run.state.nets]
    assert weights(again.named["a.b"]) == weights(run.state.named["a.b"])
    assert again.twice is again.nets[0]
    for name, tensor in tensors.items():
        assert torch.equal(again.tensors[name], tensor)
        assert again.tensors[name].dtype is tensor.dtype
    assert np.array_equal(again.array, [0, 2])
    assert again.table == {"x": [1, 2]}


def test_a_checkpoint_as_initial_path_stays_as_it_is(tmp_path: Path) -> None:
    run = load(tmp_path / "first")
    advance(run, 7)
    source = tmp_path / "first/latest-step000000000007"
    before = {f.name: f.read_bytes() for f in source.iterdir()}

    again = load(tmp_path / "second", path=source)
    advance(again, 8)

    assert again.state.step == 8
    assert weights(again.state.net) == weights(run.state.net)
    assert os.listdir(tmp_path / "second") == ["latest-step000000000008"]
    assert {f.name: f.read_bytes() for f in source.iterdir()} == before


def test_overrides_hold_on_resume(tmp_path: Path) -> None:
    advance(load(tmp_path), 1)

    again = load(tmp_path, overrides=["optim.n_warm=5"])

    assert again.config.optim.n_warm == 5


def test_an_override_that_an_optimizer_does_not_follow_is_warned_of(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path), 1)

    with pytest.warns(RuntimeWarning, match=r"lr 0\.5 in group 0 \(before: 0\.1\)"):
        again = load(tmp_path, overrides=["optim.lr=0.5"])

    assert again.config.optim.lr == 0.5
    assert again.state.optim.param_groups[0]["lr"] == 0.1
    assert load(tmp_path, overrides=["optim.lr=0.1"]).config == Config()


def test_an_override_that_contradicts_a_stored_module_is_refused(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path), 1)

    with pytest.raises(
        RecordMismatchError, match=r"net\.width: stored 3, the config makes 4"
    ):
        load(tmp_path, overrides=["width=4"])
    again = load(tmp_path, overrides=["width=4"], hyperparameters="ignore")

    assert again.state.net.layer.in_features == 3


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_config_edited_by_hand_is_held_against_the_modules_that_are_stored(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path), 1)
    file = tmp_path / "latest-step000000000001/config.ron"

    edit(file, "width: 3", "width: 4")
    with pytest.raises(
        RecordMismatchError, match=r"net\.width: stored 3, the config makes 4"
    ):
        load(tmp_path)
    again = load(tmp_path, hyperparameters="ignore")
    assert again.state.net.layer.in_features == 3
    edit(file, "width: 4", "width:   3")
    assert load(tmp_path).config == Config()


def test_generators_that_were_saved_and_are_gone_are_missed(tmp_path: Path) -> None:
    advance(load(tmp_path), 1)
    (tmp_path / "latest-step000000000001/rng.mpk").unlink()

    with pytest.raises(FileNotFoundError, match=r"generators that were.*rng=False"):
        load(tmp_path)
    again = load(tmp_path, rng=False)
    advance(again, 2)
    assert load(tmp_path).state.step == 2


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
    ("key", "found"), [("net", "Net"), ("stpe", "'step'"), ("mode", "EXACT")]
)
def test_a_key_that_is_no_int_is_told_before_anything_is_written(
    tmp_path: Path, key: str, found: str
) -> None:
    with pytest.raises(ValueError, match=rf"checkpoint_key='{key}'.*{found}"):
        load(tmp_path / "none", checkpoint_key=key)

    assert not (tmp_path / "none").exists()


def test_without_a_folder_step_only_follows_schedules(tmp_path: Path) -> None:
    overrides = ["optim.lr=step: 0.1@0 0.0@100"]
    run = HyperState.load(Config, State, begin, overrides=overrides)

    advance(run, 50)

    assert run.config.optim.lr == pytest.approx(0.05)
    with pytest.raises(ValueError, match="checkpoint_dir="):
        run.save()


def test_foreign_and_half_written_folders_are_not_taken(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 5)
    for name in (
        "latest-other999999999999",
        "latest-step999999999999",
        "backup-step000000000999",
        ".latest-step000000000006.00000000.tmp",
    ):
        (tmp_path / name).mkdir()

    assert load(tmp_path).state.step == 5


def test_a_kill_anywhere_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    @dataclass
    class Tiny:
        step: int
        tensor: torch.Tensor

    def open_run(folder: Path) -> HyperState[Config, Tiny]:
        return HyperState.load(
            Config, Tiny, lambda _: Tiny(0, torch.zeros(2)), checkpoint_dir=folder
        )

    folder = tmp_path / "run"
    run = open_run(folder)
    advance(run, 1)
    shutil.copytree(folder, tmp_path / "start")

    def prepare() -> Any:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "start", folder)
        next_run = open_run(folder)
        next_run.state.tensor = torch.full((2,), 2.0)
        return lambda: advance(next_run, 2)

    n_kills = 0
    for _ in killed_everywhere(prepare):
        n_kills += 1
        state = open_run(folder).state
        assert state.step in (1, 2)
        assert state.tensor.tolist() == [0.0, 0.0] if state.step == 1 else [2.0, 2.0]
    assert n_kills > 10
    assert open_run(folder).state.tensor.tolist() == [2.0, 2.0]


def test_numbers_edited_by_hand_are_honoured(tmp_path: Path) -> None:
    advance(load(tmp_path), 5)
    folder = tmp_path / "latest-step000000000005"
    for name, old, new in [
        ("state.ron", "step: 5", "step: 77"),
        ("config.ron", "lr: 0.1", "lr: 0.25"),
    ]:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    with pytest.warns(RuntimeWarning, match=r"lr 0\.25 in group 0 \(before: 0\.1\)"):
        again = load(tmp_path)

    assert again.state.step == 77
    assert again.config.optim.lr == 0.25


@dataclass
class Scheduled:
    step: int
    net: Net
    optim: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.StepLR


def begin_scheduled(config: Config) -> Scheduled:
    net = Net(config.width)
    optim = torch.optim.SGD(net.parameters(), lr=config.optim.lr)
    return Scheduled(0, net, optim, torch.optim.lr_scheduler.StepLR(optim, 10))


def test_an_edit_is_held_against_optimizers_that_the_program_makes_too(
    tmp_path: Path,
) -> None:
    def open_scheduled() -> HyperState[Config, Scheduled]:
        return HyperState.load(
            Config, Scheduled, begin_scheduled, checkpoint_dir=tmp_path
        )

    advance(open_scheduled(), 1)
    edit(tmp_path / "latest-step000000000001/config.ron", "lr: 0.1", "lr: 0.25")

    with pytest.warns(RuntimeWarning, match=r"lr 0\.25 in group 0 \(before: 0\.1\)"):
        state = open_scheduled().state

    assert state.optim.param_groups[0]["lr"] == 0.1


def test_an_edit_that_an_optimizer_does_not_follow_is_warned_of_until_it_is_saved(
    tmp_path: Path,
) -> None:
    advance(load(tmp_path), 1)
    file = tmp_path / "latest-step000000000001/config.ron"
    edit(file, "lr: 0.1", "lr: 0.25")

    for overrides, rate in (([], "0.25"), (["optim.lr=0.5"], "0.5")):
        with pytest.warns(
            RuntimeWarning, match=rf"lr {rate} in group 0 \(before: 0\.1"
        ):
            again = load(tmp_path, overrides=overrides)
        assert again.state.optim.param_groups[0]["lr"] == 0.1
    edited = load(tmp_path, overrides=["optim.lr=0.1"])
    assert edited.config == Config()
    edit(file, "lr: 0.25", "lr:   0.25, unknown: 1")
    with pytest.warns(RuntimeWarning, match=r"lr 0\.25 in group 0"):
        again = load(tmp_path, ignore_extra=True)
    again.state.optim.param_groups[0]["lr"] = 0.25
    advance(again, 2)

    assert load(tmp_path).state.optim.param_groups[0]["lr"] == 0.25


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


class Head(nn.Module, Serializable):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def serialize(self) -> Any:
        return self.state_dict()

    @classmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> "Head":
        head = cls(state.net.layer.in_features)
        head.load_state_dict(data)
        ctx["seen"].append(config.width)
        return head


class Old(Serializable):
    def __init__(self, number: int) -> None:
        self.number = number

    def serialize(self) -> Any:
        return {"number": np.array([self.number])}

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "Old":  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # the older signature
        return cls(int(data["number"][0]) + ctx["config"].width)


def test_serializable_objects_touch_other_fields_first(tmp_path: Path) -> None:
    @dataclass
    class Whole:
        step: int
        head: Head
        net: Net
        old: Old

    def initial(config: Config, ctx: Any) -> Whole:
        return Whole(0, Head(config.width), Net(config.width), Old(ctx["n"]))

    options: dict[str, Any] = {"checkpoint_dir": tmp_path, "ctx": {"seen": [], "n": 4}}
    run = HyperState.load(Config, Whole, initial, **options)
    nn.init.normal_(run.state.head.weight)
    advance(run, 1)

    again = HyperState.load(Config, Whole, initial, **options)

    assert weights(again.state.head) == weights(run.state.head)
    assert again.state.old.number == 4 + 3
    assert options["ctx"]["seen"] == [3]


class Left(Serializable):
    def serialize(self) -> Any:
        return {}

    @classmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> "Left":
        _ = state.right
        return cls()


class Right(Left):
    @classmethod
    def deserialize(cls, data: Any, config: Any, state: Any, ctx: Any) -> "Right":
        _ = state.left
        return cls()


def test_a_circle_is_told_and_is_no_endless_loop(tmp_path: Path) -> None:
    @dataclass
    class Circle:
        step: int
        left: Left
        right: Right

    def initial(_: Config) -> Circle:
        return Circle(0, Left(), Right())

    run = HyperState.load(Config, Circle, initial, checkpoint_dir=tmp_path)
    advance(run, 1)

    with pytest.raises(RecordMismatchError, match="left -> right -> left"):
        HyperState.load(Config, Circle, initial, checkpoint_dir=tmp_path)


def test_a_pickle_in_the_place_of_an_object_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    advance(load(tmp_path / "run"), 1)
    folder = tmp_path / "run/latest-step000000000001"
    (folder / "state.net.mpk").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RecordError, match=r"state\.net\.mpk"):
        load(tmp_path / "run")
    torch.save(Bomb(), folder / "state.net.mpk")
    with pytest.raises(RecordError, match=r"state\.net\.mpk"):
        load(tmp_path / "run")
    text = (folder / "state.ron").read_text()
    (folder / "state.ron").write_text(text.replace("<blob:state.net.mpk>", "<BLOB>"))
    with pytest.raises(RecordFormatError, match="net is a pickle"):
        load(tmp_path / "run")
    hostile = text.replace("<blob:state.net.mpk>", "<blob:../../state.net.mpk>")
    (folder / "state.ron").write_text(hostile)
    with pytest.raises((RecordError, ConfigError, TypeError)):
        _ = load(tmp_path / "run").state.net.layer
    assert not (tmp_path / "exploded").exists()


def test_the_saved_config_keeps_the_schedule_and_resumes_it(tmp_path: Path) -> None:
    run = load(tmp_path, overrides=["optim.lr=step: 0.1@0 0.0@100"])
    advance(run, 50)

    text = (tmp_path / "latest-step000000000050/config.ron").read_text()
    again = load(tmp_path)

    assert '"step: 0.1@0 0.0@100"' in text
    assert again.config.optim.lr == pytest.approx(0.05)
    with pytest.warns(RuntimeWarning, match="the optimizer goes on"):
        assert load(tmp_path, overrides=["optim.lr=0.25"]).config.optim.lr == 0.25


def test_configs_may_be_frozen_or_hparams_and_keys_dotted(tmp_path: Path) -> None:
    class Typed(Hparams):
        lr: float = 0.1
        note: str = "a@b"

    @dataclass
    class Progress:
        epoch: int

    @dataclass
    class Nested:
        progress: Progress

    def open_run(overrides: list[str]) -> HyperState[Typed, Nested]:
        return HyperState.load(
            Typed,
            Nested,
            lambda _: Nested(Progress(0)),
            checkpoint_dir=tmp_path,
            checkpoint_key="progress.epoch",
            overrides=overrides,
        )

    run = open_run(["lr=progress.epoch: 1@0 lin 0@10"])
    run.state.progress.epoch = 5
    run.step()

    assert os.listdir(tmp_path) == ["latest-progress.epoch000000000005"]
    assert run.config.lr == 0.5
    assert open_run([]).config.note == "a@b"
    assert open_run([]).state.progress.epoch == 5


def test_versions_of_the_state_follow_renamed_fields(tmp_path: Path) -> None:
    @dataclass
    class Newer(Versioned):
        step: int
        policy: Net
        optim: torch.optim.Optimizer
        mode: Mode
        seen: list[int]

        @classmethod
        def version(cls) -> int:
            return 1

        @classmethod
        def upgrade_rules(cls) -> dict[int, list[RewriteRule]]:
            return {0: [RenameField(("net",), ("policy",))]}

    @dataclass
    class Freed(Newer):
        optim: Any

    run = load(tmp_path)
    run.state.optim = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    advance(run, 3)

    def never(_: Config) -> Freed:
        net = Net(3)
        optim = torch.optim.SGD([torch.zeros(1)], lr=0.1)
        return Freed(0, net, optim, Mode.FAST, [])

    again = HyperState.load(Config, Freed, never, checkpoint_dir=tmp_path)
    assert weights(again.state.policy) == weights(run.state.net)
    advance(again, 4)
    text = (tmp_path / "latest-step000000000004/state.ron").read_text()
    assert "version: 1" in text
    assert "<blob:state.policy.mpk>" in text
    last = HyperState.load(Config, Freed, never, checkpoint_dir=tmp_path)
    assert last.state.step == 4


def test_random_generators_go_on_where_they_stood(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 1)
    expected = torch.rand(2).tolist()

    load(tmp_path)
    resumed = torch.rand(2).tolist()
    load(tmp_path, rng=False)

    assert resumed == expected
    assert torch.rand(2).tolist() != expected


def test_an_error_while_saving_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 1)
    run.state.seen = [object()]  # type: ignore[list-item]  # pyright: ignore[reportAttributeAccessIssue]  # wrong on purpose

    with pytest.raises(ConfigError, match=r"seen\[0\]"):
        advance(run, 2)

    assert os.listdir(tmp_path) == ["latest-step000000000001"]
    assert load(tmp_path).state.step == 1


def test_every_nth_step_can_be_kept(tmp_path: Path) -> None:
    run = load(tmp_path, every=10, keep_last=5)

    for step in range(35):
        advance(run, step)

    assert len(os.listdir(tmp_path)) == 4
    assert load(tmp_path).state.step == 30


def test_a_checkpoint_of_the_older_hyperstate_is_read(tmp_path: Path) -> None:
    @dataclass
    class Seeded(Lazy):
        step: int
        old: Old

    folder = tmp_path / "latest-step000000000012"
    folder.mkdir()
    (folder / "config.ron").write_text("Config(width: 5)")
    (folder / "state.ron").write_text('Seeded(step: 12, old: "<blob:msgpack>")')
    array = {b"nd": True, b"type": "<i8", b"kind": b"", b"shape": [1]}
    packed: Any = msgpack.packb({"number": {**array, b"data": np.array([4]).tobytes()}})
    (folder / "state.old.msgpack").write_bytes(packed)

    run = HyperState.load(
        Config, Seeded, lambda _: Seeded(0, Old(0)), checkpoint_dir=tmp_path
    )

    assert run.state.step == 12
    assert run.state.old.number == 9


def test_a_path_that_is_nothing_is_told_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected config\.ron and state\.ron"):
        load(tmp_path / "run", path=tmp_path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "run", path=tmp_path / "none.ron")


def test_objects_keep_their_type_in_what_the_checker_sees() -> None:
    value: Blob[int] = 3

    assert value + 1 == 4
    assert isinstance(AdamW().bind(Net(2), lr=0.1), OptimizerAdaptor)


@dataclass
class Policy(Lazy):
    net: Net
    n_seen: int


@dataclass
class Actor:
    policy: Policy
    optim: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.StepLR | None = None


@dataclass
class Nested(Lazy):
    step: int
    actors: dict[str, Actor]


@pytest.mark.parametrize("is_scheduled", [False, True])
def test_objects_deep_in_nested_states_stay_bound(
    tmp_path: Path, is_scheduled: bool
) -> None:
    def actor() -> Actor:
        net = Net(2)
        optim = torch.optim.SGD(net.parameters(), lr=1.0, momentum=0.5)
        schedule = torch.optim.lr_scheduler.StepLR(optim, 1) if is_scheduled else None
        return Actor(Policy(net, 3), optim, schedule)

    def initial(_: Config) -> Nested:
        return Nested(0, {"a": actor(), "b.c": actor()})

    def open_run() -> HyperState[Config, Nested]:
        return HyperState.load(Config, Nested, initial, checkpoint_dir=tmp_path)

    run = open_run()
    advance(run, 1)
    again = open_run().state.actors["b.c"]

    assert again.policy.n_seen == 3
    assert weights(again.policy.net) == weights(run.state.actors["b.c"].policy.net)
    stepped = again.optim.param_groups[0]["params"]
    assert [id(p) for p in stepped] == [id(p) for p in again.policy.net.parameters()]
    if again.schedule is not None:
        assert again.schedule.optimizer is again.optim


def test_a_lazy_state_that_only_the_program_can_make_is_filled_whole(
    tmp_path: Path,
) -> None:
    @dataclass
    class Mixed(Lazy):
        step: int
        net: nn.Linear
        optim: torch.optim.Optimizer
        schedule: torch.optim.lr_scheduler.StepLR

    def initial(_: Config) -> Mixed:
        net = nn.Linear(2, 2)
        optim = torch.optim.SGD(net.parameters(), lr=1.0)
        return Mixed(0, net, optim, torch.optim.lr_scheduler.StepLR(optim, 1))

    def open_run() -> HyperState[Config, Mixed]:
        return HyperState.load(Config, Mixed, initial, checkpoint_dir=tmp_path)

    run = open_run()
    run.state.optim.step()
    run.state.schedule.step()
    advance(run, 1)
    schedule = open_run().state.schedule

    optim: Any = schedule.optimizer
    assert optim.param_groups[0]["lr"] == pytest.approx(0.1)
    net = [x for p in optim.param_groups[0]["params"] for x in p.flatten().tolist()]
    assert net == weights(run.state.net)


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


def test_a_wrong_keyword_of_load_lists_the_right_ones() -> None:
    load: Any = HyperState.load

    with pytest.raises(TypeError, match=r"'folder'\. It takes path, checkpoint_"):
        load(object, object, lambda _: None, folder="runs")
    with pytest.raises(TypeError, match=r"'initial_state'.*Write HyperState\.load\("):
        load(object, object)


def test_overrides_that_are_one_text_are_one_error() -> None:
    with pytest.raises(TypeError, match=r"a list of texts, .* got one text: 'width=4'"):
        HyperState.load(Config, State, begin, overrides="width=4")


def test_a_begin_that_returns_no_state_is_told_at_once() -> None:
    with pytest.raises(TypeError, match="returned a Net, expected a State"):
        HyperState.load(Config, State, lambda config: Net(3))  # type: ignore[arg-type,return-value]  # not a State


def test_a_config_in_the_place_of_its_class_is_told() -> None:
    with pytest.raises(TypeError, match=r"^HyperState.load: .*expected a class"):
        HyperState.load(Config(), State, begin)  # type: ignore[arg-type]  # not a class


def test_a_path_that_does_not_exist_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        HyperState.load(Config, State, begin, tmp_path / "nowhere")


def test_a_newest_folder_without_its_state_begins_no_run_anew(tmp_path: Path) -> None:
    run = load(tmp_path)
    advance(run, 5)
    folder = tmp_path / "latest-step000000000005"
    (folder / "state.ron").unlink()

    with pytest.raises(RecordFormatError, match=r"without state\.ron.*remove it"):
        load(tmp_path)
    with pytest.raises(RecordFormatError, match=r"without state\.ron.*remove it"):
        HyperState.load(Config, State, begin, tmp_path)

    shutil.rmtree(folder)
    assert load(tmp_path).state.step == 0


@pytest.mark.parametrize("name", ["config.ron", "state.ron"])
def test_an_emptied_text_of_a_checkpoint_is_no_text_of_defaults(
    tmp_path: Path, name: str
) -> None:
    advance(load(tmp_path, overrides=["mode=exact"]), 5)
    (tmp_path / "latest-step000000000005" / name).write_text("\n")

    with pytest.raises(RecordFormatError, match=rf"{name}: an empty file"):
        load(tmp_path)


@pytest.mark.parametrize("given", ["checkpoint_dir", "path"])
def test_a_run_that_changes_its_directory_keeps_its_folder_and_what_it_reads_later(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    begun: Any = HyperState.load(Config, LazyState, begin_lazy, checkpoint_dir="run")
    begun.step()
    options: Any = {given: "run"}
    again: Any = HyperState.load(Config, LazyState, begin_lazy, **options)

    monkeypatch.chdir(elsewhere)
    read_later = again.state.net
    advance(begun, 1)

    assert torch.equal(read_later.layer.weight, begun.state.net.layer.weight)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["latest-step000000000001"]
    assert not [*elsewhere.iterdir()]


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
