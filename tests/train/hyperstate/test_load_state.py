"""States read from their files, without a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.config import ConfigError, Versioned, register_field_type
from burnish.config import load as load_config
from burnish.records import RecordError, RecordMismatchError
from burnish.train import HyperState, Serializable, load_state

from .states import (
    Config,
    LazyState,
    Net,
    Scheduled,
    State,
    advance,
    begin,
    begin_lazy,
    load,
    train,
    weights,
)


class Regression(nn.Module, Serializable):
    """The example of HyperState's documentation."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, 1)

    def serialize(self) -> Any:
        return self.state_dict()

    @classmethod
    def deserialize(cls, data: Any, ctx: Any) -> "Regression":
        net = cls(ctx["config"].width)
        net.load_state_dict(data)
        return net


@dataclass
class Regressed:
    step: int
    net: Regression


def begin_regressed(config: Config) -> Regressed:
    return Regressed(0, Regression(config.width))


def run_of(folder: Path, cls: Any, initial: Any, step: int = 3) -> Any:
    run: Any = HyperState.load(Config, cls, initial, checkpoint_dir=folder)
    advance(run, step)
    return run


def checkpoint(folder: Path, step: int = 3) -> Path:
    return folder / f"latest-step{step:012d}"


def test_the_example_of_hyperstate_reads_config_and_state(tmp_path: Path) -> None:
    run = run_of(tmp_path, Regressed, begin_regressed)
    folder = checkpoint(tmp_path)

    config = load_config(Config, folder / "config.ron")
    state = load_state(Regressed, folder / "state.ron", ctx={"config": config})

    assert state.step == 3
    assert weights(state.net) == weights(run.state.net)


def test_modules_and_optimizers_come_back_without_a_program(tmp_path: Path) -> None:
    run = load(tmp_path)
    train(run.state, 2)
    run.step()

    state = load_state(State, checkpoint(tmp_path, 2))

    assert weights(state.net) == weights(run.state.net)
    train(state, 1)
    assert state.step == 3


def test_generators_of_the_program_stay_where_they_are(tmp_path: Path) -> None:
    run_of(tmp_path, State, begin)
    torch.manual_seed(5)
    before = torch.get_rng_state()

    load_state(State, checkpoint(tmp_path))

    assert torch.equal(torch.get_rng_state(), before)


def test_what_only_a_program_makes_is_told_by_its_path(tmp_path: Path) -> None:
    def initial(config: Config) -> Scheduled:
        state = begin(config)
        scheduler = torch.optim.lr_scheduler.StepLR(state.optim, 2)
        return Scheduled(0, state.net, state.optim, scheduler)

    run_of(tmp_path, Scheduled, initial)

    with pytest.raises(RecordMismatchError, match=r"HyperState\.load\(Config, State"):
        load_state(Scheduled, checkpoint(tmp_path))


def test_lazy_fields_are_read_when_they_are_touched(tmp_path: Path) -> None:
    run_of(tmp_path, LazyState, begin_lazy)
    folder = checkpoint(tmp_path)
    (folder / "state.other.mpk").unlink()

    state = load_state(LazyState, folder)

    assert isinstance(state.net, Net)
    with pytest.raises(FileNotFoundError, match="other"):
        _ = state.other


def test_ctx_that_lacks_what_a_class_wants_is_told(tmp_path: Path) -> None:
    run_of(tmp_path, Regressed, begin_regressed)

    with pytest.raises(KeyError, match="config") as caught:
        load_state(Regressed, checkpoint(tmp_path))

    assert "Regression.deserialize" in caught.value.__notes__[0]
    assert "ctx holds nothing" in caught.value.__notes__[0]


def test_a_text_of_another_name_is_read(tmp_path: Path) -> None:
    run_of(tmp_path, Regressed, begin_regressed)
    folder = checkpoint(tmp_path)
    (folder / "state.ron").rename(folder / "mine.ron")

    state = load_state(Regressed, folder / "mine.ron", {"config": Config()})

    assert state.step == 3


def test_a_text_edited_by_hand_is_honored(tmp_path: Path) -> None:
    run_of(tmp_path, Regressed, begin_regressed)
    file = checkpoint(tmp_path) / "state.ron"
    file.write_text(file.read_text().replace("step: 3", "step: 7"))

    assert load_state(Regressed, file, {"config": Config()}).step == 7


@dataclass
class Smaller:
    step: int


def test_smaller_states_read_bigger_files_if_asked_to(tmp_path: Path) -> None:
    run_of(tmp_path, State, begin)

    with pytest.raises(ConfigError, match="optim: unknown field"):
        load_state(Smaller, checkpoint(tmp_path))
    assert load_state(Smaller, checkpoint(tmp_path), ignore_extra=True).step == 3


@pytest.mark.parametrize("place", ["", "nothing", "nothing.ron"])
def test_a_place_without_a_state_is_told(place: str, tmp_path: Path) -> None:
    run_of(tmp_path, State, begin)

    with pytest.raises(FileNotFoundError, match=r"no such file|latest-step"):
        load_state(State, tmp_path / place)


def test_an_empty_text_and_a_foreign_record_are_refused(tmp_path: Path) -> None:
    run_of(tmp_path, State, begin)
    folder = checkpoint(tmp_path)
    record = (folder / "state.net.mpk").read_bytes()

    (folder / "state.net.mpk").write_bytes(record[:-5])
    with pytest.raises(RecordError):
        load_state(State, folder)
    (folder / "state.ron").write_text("")
    with pytest.raises(RecordError, match="an empty file"):
        load_state(State, folder)


def test_a_config_that_is_read_as_a_state_says_what_reads_it(tmp_path: Path) -> None:
    run_of(tmp_path, Regressed, begin_regressed)
    file = checkpoint(tmp_path) / "state.ron"

    with pytest.raises(ConfigError, match=r"net: .*burnish\.train\.load_state"):
        load_config(Regressed, file)
    with pytest.raises(TypeError, match=r"burnish\.train\.load_state"):
        load_config(State, file)


class Angle:
    """Of another library."""

    def __init__(self, degrees: Any) -> None:
        self.degrees = degrees


@dataclass
class Pose:
    """Holds a tensor, so it is a record of its own."""

    matrix: torch.Tensor
    name: str


def pose_of(data: Any) -> Pose:
    if data["matrix"].shape != (2, 2):
        raise ValueError("a pose is two by two")
    return Pose(**data)


register_field_type(
    Angle, encode=lambda a: {"degrees": a.degrees}, decode=lambda d: Angle(**d)
)
register_field_type(
    Pose, encode=lambda p: {"matrix": p.matrix, "name": p.name}, decode=pose_of
)


@dataclass
class Scene:
    step: int
    angle: Angle
    pose: Pose
    angles: list[Angle] = field(default_factory=list)
    poses: dict[str, Pose] = field(default_factory=dict)
    best: Pose | None = None


def begin_scene(config: Config) -> Scene:
    pose = Pose(torch.eye(2), "front")
    return Scene(0, Angle(3), pose, [Angle("<blob:x>")], {"a": pose}, None)


def test_registered_types_stand_in_the_text_or_in_records(tmp_path: Path) -> None:
    run_of(tmp_path, Scene, begin_scene)
    folder = checkpoint(tmp_path)

    state = load_state(Scene, folder)
    again = HyperState.load(Config, Scene, begin_scene, checkpoint_dir=tmp_path).state

    text = (folder / "state.ron").read_text()
    assert '"degrees": 3' in text
    assert (folder / "state.pose.mpk").exists()
    for scene in (state, again):
        assert scene.angle.degrees == 3
        assert scene.angles[0].degrees == "<blob:x>"
        assert torch.equal(scene.pose.matrix, torch.eye(2))
        assert scene.poses["a"] is scene.pose
        assert scene.best is None


def test_data_that_a_registered_type_refuses_is_told_with_its_path(
    tmp_path: Path,
) -> None:
    def initial(config: Config) -> Scene:
        state = begin_scene(config)
        state.pose = Pose(torch.eye(3), "three")
        return state

    run_of(tmp_path, Scene, initial)
    folder = checkpoint(tmp_path)

    with pytest.raises(RecordMismatchError, match="pose: ValueError: a pose is two"):
        load_state(Scene, folder)


def test_data_in_the_text_that_a_registered_type_refuses_is_told_with_its_path(
    tmp_path: Path,
) -> None:
    run_of(tmp_path, Scene, begin_scene)
    file = checkpoint(tmp_path) / "state.ron"
    file.write_text(file.read_text().replace("degrees", "degree", 1))

    with pytest.raises(ConfigError, match=r"angle: .* is not an Angle: TypeError"):
        load_state(Scene, file)


@dataclass
class Scaled:
    angle: Angle = field(default_factory=lambda: Angle(1))
    width: int = 3


def test_configs_of_runs_hold_registered_types(tmp_path: Path) -> None:
    def initial(config: Scaled) -> Smaller:
        return Smaller(config.angle.degrees)

    run: HyperState[Scaled, Smaller] = HyperState.load(
        Scaled,
        Smaller,
        initial,
        checkpoint_dir=tmp_path,
        overrides=['angle={"degrees": 5}'],
    )
    run.step()

    again = HyperState.load(Scaled, Smaller, initial, checkpoint_dir=tmp_path)

    assert again.config.angle.degrees == 5
    assert again.state.step == 5


@dataclass
class Counters(Versioned):
    step: int = 0
    loss: float = 1.5

    @classmethod
    def version(cls) -> int:
        return 0


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [("1.5", "1e-400", "loss: 1e-400"), ("version: 0", "version: 3", "has version 3")],
)
def test_what_does_not_fit_is_told_with_the_file_that_has_it(
    before: str, after: str, problem: str, tmp_path: Path
) -> None:
    text = "State(version: 0, step: 1, loss: 1.5)".replace(before, after)
    (tmp_path / "edited.ron").write_text(text)

    with pytest.raises(ConfigError, match=rf"edited\.ron: .*{problem}"):
        load_state(Counters, tmp_path / "edited.ron")
