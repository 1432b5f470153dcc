import enum
from dataclasses import dataclass, field
from typing import Literal

from burnish.config import Editable, Hparam, Hparams, describe


@dataclass
class Optimizer:
    """How the weights move.

    Attributes:
        lr: size of a step
        anneal: whether the step shrinks
        max_norm: largest norm
            of a gradient
    """

    lr: float = 1e-4
    anneal: bool = True
    max_norm: float = 100.0


@dataclass
class Faster(Optimizer):
    """Faster.

    Attributes:
        momentum: share that is kept
    """

    momentum: float = 0.9


@dataclass
class Tracking:
    track: bool = False
    """Whether metrics are sent.

    More of it.
    """

    project: str = "mine"


@dataclass
class Config:
    """All of it.

    Attributes:
        data: where examples are read from
        loss: "kl" or "mse"
    """

    optimizer: Faster
    data: str
    loss: Literal["kl", "mse"] = "mse"
    tracking: Tracking | None = None
    stages: list[Optimizer] = field(default_factory=list)


class Described(Hparams):
    lr: float = Hparam(default=0.1, gt=0, description="Size of a step.")
    _copy: int = Hparam(default=1, description="A reserved name.")
    width: int
    """Below the field."""


def test_every_field_stands_on_its_line_with_inherited_docs() -> None:
    assert (
        describe(Config)
        == """\
optimizer: Faster
  lr: float = 0.0001                      # size of a step
  anneal: bool = True                     # whether the step shrinks
  max_norm: float = 100.0                 # largest norm of a gradient
  momentum: float = 0.9                   # share that is kept
data: str                                 # where examples are read from
loss: 'kl'|'mse' = 'mse'                  # "kl" or "mse"
tracking: Tracking | None = None
  track: bool = False                     # Whether metrics are sent.
  project: str = 'mine'
stages: list[Optimizer]
  lr: float = 0.0001                      # size of a step
  anneal: bool = True                     # whether the step shrinks
  max_norm: float = 100.0                 # largest norm of a gradient"""
    )


def test_a_query_finds_names_that_are_like_it() -> None:
    assert "optimizer.lr: float = 0.0001" in describe(Config, "lrr")
    assert describe(Config, "trak").startswith("tracking.track: bool = False")
    assert describe(Config, "optimizer.lr").splitlines()[0].startswith("optimizer.lr:")
    assert describe(Config, "xyzzy42") == ""


def test_docs_come_from_descriptions_and_from_below_the_field() -> None:
    lines = describe(Described).splitlines()

    assert lines[0].endswith("# Size of a step.")
    assert lines[1].startswith("_copy: int = 1")
    assert lines[1].endswith("# A reserved name.")
    assert lines[2].endswith("# Below the field.")


def test_a_struct_within_itself_is_described_once() -> None:
    assert describe(Tree).count("children") == 1


class Tree(Hparams):
    children: list["Tree"] = Hparam(default_factory=list)
    name: str = ""


def test_fields_that_may_be_edited_say_so() -> None:
    class Live(Hparams):
        lr: float = Hparam(0.1, editable=True)
        betas: Editable[tuple[float, float]] = (0.9, 0.99)
        width: int = 8

    lr, betas, width = describe(Live).splitlines()

    assert lr == "lr: float = 0.1  (editable)"
    assert betas.endswith("  (editable)")
    assert width == "width: int = 8"


class Act(enum.Enum):
    RELU = "relu"
    GELU = "gelu"


class Level(enum.IntEnum):
    A, B, C, D, E, F, G, H, I, J = range(10)  # noqa: E741


@dataclass
class WithEnums:
    act: Act = Act.RELU
    """After each layer."""
    last: Act | None = None
    level: Level = Level.A


def test_the_values_of_an_enum_are_told() -> None:
    act, last, level = describe(WithEnums).splitlines()

    assert act.endswith("# After each layer. 'relu'|'gelu'")
    assert last.endswith("# 'relu'|'gelu'")
    assert level.endswith("|6|7|...")
