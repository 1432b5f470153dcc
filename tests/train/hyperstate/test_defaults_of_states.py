"""Fields of a state that a checkpoint lacks, whose defaults are made of others."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ConfigDict, Field, computed_field, model_validator
from torch import Tensor

from burnish.config import Hparams
from burnish.train import HyperState, Lazy


@dataclass
class Config:
    width: int = 3


class Tensors(Hparams):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    step: int = 0
    net: Tensor


class OfData(Tensors):
    double: int = Field(default_factory=lambda data: data["step"] * 2)
    quad: int = Field(default_factory=lambda data: data["double"] * 2)


class OfTensors(Tensors):
    double: int = Field(default_factory=lambda data: int(data["net"].sum()) + 8)


class LazyOfTensors(Lazy, OfTensors):
    pass


class Computed(Tensors):
    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def double(self) -> int:
        return self.step * 2


class Validated(Tensors):
    double: int | None = None

    @model_validator(mode="after")
    def complete(self) -> "Validated":
        if self.double is None:
            object.__setattr__(self, "double", self.step * 2)
        return self


@dataclass
class Completed:
    step: int
    net: Tensor
    double: int | None = None
    half: float = field(init=False)

    def __post_init__(self) -> None:
        self.half = self.step / 2
        if self.double is None:
            self.double = self.step * 2


class Named(Tensors):
    double: int = Field(default_factory=lambda data: data["step"] * 2, alias="twice")
    copy: int = 4  # type: ignore[assignment]  # hides a method, which Hparams permits


class Nested(Hparams):
    step: int = 0
    inner: OfData


def resumed(cls: Any, folder: Path, *left_out: str) -> Any:
    """Return the state of step 5, whose text lacks some fields."""

    def begin(_: Config) -> Any:
        if cls is Nested:
            return Nested(inner=OfData(net=torch.ones(2)))
        return cls(step=0, net=torch.ones(2))

    run = HyperState.load(Config, cls, begin, checkpoint_dir=folder)
    run.state.step = 5
    if cls is Nested:
        run.state.inner.step = 5
    run.step()
    (file,) = folder.glob("latest-*/state.ron")
    text = file.read_text()
    for name in left_out:
        text, count = re.subn(rf"\n\s*{name}: [^\n]*,(?=\n)", "", text)
        assert count == 1
    file.write_text(text)
    return HyperState.load(Config, cls, begin, checkpoint_dir=folder).state


@pytest.mark.parametrize("cls", [OfData, OfTensors, LazyOfTensors, Validated])
def test_a_default_that_is_made_of_other_fields_is_made_of_the_stored_ones(
    cls: Any, tmp_path: Path
) -> None:
    state = resumed(cls, tmp_path, "double")

    assert (state.step, state.double) == (5, 10)
    assert torch.equal(state.net, torch.ones(2))


def test_defaults_may_follow_from_each_other_at_any_depth(tmp_path: Path) -> None:
    assert resumed(OfData, tmp_path / "a", "double", "quad").quad == 20
    assert resumed(Nested, tmp_path / "b", "double", "quad").inner.quad == 20


def test_what_a_class_completes_itself_is_made_of_the_stored_fields(
    tmp_path: Path,
) -> None:
    state = resumed(Completed, tmp_path / "a", "double")

    assert (state.double, state.half) == (10, 2.5)
    assert resumed(Computed, tmp_path / "b").double == 10


def test_stored_fields_are_found_by_their_names_in_the_text(tmp_path: Path) -> None:
    whole = resumed(Named, tmp_path / "a")
    part = resumed(Named, tmp_path / "b", "twice", "copy")

    assert (whole.double, whole["copy"]) == (0, 4)
    assert (part.double, part["copy"]) == (10, 4)


@dataclass
class LazyCompleted(Lazy):
    step: int
    net: Tensor
    half: float = field(init=False)

    def __post_init__(self) -> None:
        self.half = self.step / 2


def test_a_lazy_state_completes_itself_and_still_waits(tmp_path: Path) -> None:
    state = resumed(LazyCompleted, tmp_path)
    pending = "net" not in vars(state)

    assert state.half == 2.5
    assert pending
    assert torch.equal(state.net, torch.ones(2))
