"""What a constructor declares of its arguments, by annotation or by default."""

import enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from torch import nn

import burnish
from burnish.config import Hparam
from burnish.config.classes.annotations import unresolved
from burnish.config.classes.declared_types import members
from burnish.core.hyperparameters.declared import (
    argument_hints,
    is_constrained,
    item_hint,
    needs_class,
)


class Mode(enum.Enum):
    FAST = "fast"


class Net(nn.Module):
    def __init__(
        self, width: int, mode: Any = Mode.FAST, depth: Any = 3, absent: Any = None
    ) -> None:
        super().__init__()


# Our linters ask for annotations that users' classes may lack or get wrong.
for name in ("mode", "depth"):
    del Net.__init__.__annotations__[name]
Net.__init__.__annotations__["absent"] = "Nowhere"


def test_a_default_that_is_no_plain_data_declares_its_type() -> None:
    hints = argument_hints(Net)

    assert hints["width"] is int
    assert hints["mode"] is Mode
    assert hints["depth"] is Any


def test_an_annotation_that_names_nothing_costs_the_others_nothing() -> None:
    hint = argument_hints(Net)["absent"]

    assert members(hint) == (Any,)
    assert unresolved(hint) == unresolved(item_hint(hint, 0)) == "Nowhere"


@burnish.module
class Base(nn.Module):
    def __init__(self, mode: Mode, parts: Any = None) -> None:
        super().__init__()
        self.mode, self.parts = mode, parts


Base.__init__.__annotations__ |= {"mode": "Mode", "parts": "Nowhere"}


class Child(Base):
    """Takes what its parent takes."""


def test_an_inherited_constructor_keeps_its_annotations_beside_an_unknown_name() -> (
    None
):
    record = burnish.save_record(Child(Mode.FAST))

    assert Child.from_record(record).mode is Mode.FAST  # type: ignore[attr-defined]  # of the decorator


def test_what_an_unknown_name_declares_says_that_it_is_not_there() -> None:
    with pytest.raises(
        TypeError, match=r"'Nowhere' is not defined .* `if TYPE_CHECKING`"
    ):
        burnish.get_hparams(Child(Mode.FAST, [Mode.FAST]))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [(list[int], int), (dict[str, Path] | None, Path), (int, Any), (Any, Any)],
)
def test_items_are_what_their_container_declares(hint: Any, expected: Any) -> None:
    assert item_hint(hint, 0) is expected


def test_enums_paths_and_sets_are_made_by_their_class_at_any_depth() -> None:
    assert all(map(needs_class, (Mode, Path | None, list[set[int]])))
    assert not any(map(needs_class, (int, list[str], dict[str, float])))


def test_a_bound_is_found_at_any_depth() -> None:
    assert is_constrained(list[Annotated[int, Hparam(ge=1)]])
    assert not is_constrained(list[int])


class Strict(type):
    def __getattr__(cls, name: str) -> Any:
        raise LookupError(f"{cls.__name__} has no {name}")


class Odd(metaclass=Strict):
    """A class like those of dependency injection: its metaclass answers anything."""


def test_a_class_that_answers_with_errors_of_its_own_may_annotate_an_argument() -> None:
    @burnish.module
    class Injected(nn.Module):
        def __init__(
            self, width: int = 2, kind: type[Odd] | None = None, odd: Any = None
        ) -> None:
            super().__init__()
            self.lin, self.kind, self.odd = nn.Linear(width, width), kind, odd

    @burnish.module
    class Child(Injected):
        def __init__(self, odd: Odd | None = None, **rest: Any) -> None:
            super().__init__(odd=odd, **rest)

    for module in (Injected(3), Child(width=3)):
        built: Any = type(module).from_record(burnish.save_record(module))  # type: ignore[attr-defined]  # of the decorator
        assert built.lin.in_features == 3
    chosen: Any = Child(Odd(), kind=Odd)
    again: Any = Child.from_record(chosen.save_record(), odd=chosen.odd, kind=Odd)  # type: ignore[attr-defined]  # of the decorator
    assert again.kind is Odd
