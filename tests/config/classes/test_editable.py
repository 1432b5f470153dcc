"""Fields that say that they may be edited while a run goes on."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Optional

import pytest

from burnish.config import Editable, Hparam, Hparams, dumps, load, loads
from burnish.config.classes.editable import editable_paths, is_editable
from burnish.config.schema.derive import limits_values


class Optim(Hparams):
    lr: float = Hparam(default=0.1, editable=True, gt=0)
    decay: float = Hparam(default=0.0, ge=0)
    kind: str = Hparam(default="adam", description="which one")


@dataclass
class Config:
    optim: Optim = field(default_factory=lambda: Optim())
    groups: dict[str, Optim] = field(default_factory=dict[str, Optim])
    stages: list[Optim] = field(default_factory=list[Optim])
    dropout: Editable[float] = 0.5
    clip: Optional[Editable[float]] = None  # noqa: UP045  # what is tested
    limit: Annotated[int, "a note of somebody"] = 3
    steps: int = 10


@dataclass
class Tree:
    weight: Editable[float] = 1.0
    below: "list[Tree]" = field(default_factory=lambda: [])


def test_marked_fields_are_listed_by_path_with_their_types() -> None:
    paths = editable_paths(Config)

    assert [*paths] == [
        "optim.lr",
        "groups.*.lr",
        "stages.*.lr",
        "dropout",
        "clip",
    ]
    assert paths["optim.lr"] is float


def test_a_class_within_itself_ends() -> None:
    assert [*editable_paths(Tree)] == ["weight"]


def test_a_class_without_marks_has_none() -> None:
    @dataclass
    class Plain:
        lr: float = 0.1

    assert editable_paths(Plain) == {}
    assert not is_editable(Annotated[int, "a note of somebody"])


def test_a_mark_changes_neither_values_nor_checks() -> None:
    config = load(Config, None, ["dropout=0.25", "optim.lr=0.2"])

    assert (config.dropout, config.optim.lr) == (0.25, 0.2)
    assert loads(Config, dumps(config)) == config
    with pytest.raises(ValueError, match=r"optim\.lr.*greater than 0"):
        load(Config, None, ["optim.lr=-1.0"])
    assert not limits_values(Editable[float])
    marked: Any = Editable
    assert limits_values(Annotated[float, "a bound", *marked.__metadata__])


def test_a_field_without_a_default_stays_required() -> None:
    class Needy(Hparams):
        lr: float = Hparam(editable=True)

    with pytest.raises(ValueError, match="lr"):
        load(Needy)
    assert [*editable_paths(Needy)] == ["lr"]
