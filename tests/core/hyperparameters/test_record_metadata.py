"""What no file can hold is named in the metadata of records; the rest comes back."""

import enum
import functools
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest
import torch
from pydantic import computed_field
from torch import nn
from torch.nn import functional

import burnish
from burnish import from_hyperparameters, get_hparams, module, open_record
from burnish.config import Hparams
from burnish.core.errors import HyperparameterError
from burnish.records import RecordMismatchError

from ... import fresh_processes


def hparams_in(net: Any) -> dict[str, Any]:
    """Return the hyperparameters that a file of ``net`` holds."""
    found: dict[str, Any] = open_record(net.save_record()).metadata["burnish"]
    return dict(found["hparams"])


@module
class Act(nn.Module):
    def __init__(
        self, width: int = 3, act: Any = functional.gelu, **options: Any
    ) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 2)
        self.act, self.options = act, options


@module
class Outer(nn.Module):
    def __init__(self, inner: nn.Module, size: int = 1) -> None:
        super().__init__()
        self.inner, self.size = inner, size


def test_an_untouched_default_that_is_no_plain_data_needs_no_storing() -> None:
    net: Any = Act(5)

    built = Act.from_record(net.save_record())  # type: ignore[attr-defined]

    assert "act" not in net.hparams
    assert "__unstored__" not in hparams_in(net)
    assert built.fc.weight.equal(net.fc.weight)
    again: Any = from_hyperparameters(net.hparams)
    assert again.fc.in_features == 5


def unregistered(x: torch.Tensor) -> torch.Tensor:
    return x


def activated(default: Any, name: str = "tests/activated") -> Any:
    class Activated(burnish.Module, name=name):
        def __init__(self, width: int = 2, act: Any = default) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(width, 1), act

    return Activated


def test_a_default_that_no_file_holds_and_that_became_another_is_told() -> None:
    data = activated(torch.relu)(3).save_record()
    changed = activated(torch.tanh)

    with pytest.raises(RecordMismatchError, match=r"act: .*was relu and is now tanh"):
        changed.from_record(data)
    with pytest.raises(RecordMismatchError, match=r"act: stored relu, .* has tanh"):
        changed(3).load_record(data)

    assert changed.from_record(data, act=torch.relu).act is torch.relu


@pytest.mark.parametrize("default", [torch.relu, print, lambda x: x, sys.stdout])
def test_a_default_that_no_file_holds_and_that_stayed_is_nothing_to_tell(
    default: Any,
) -> None:
    data = activated(default)(3).save_record()
    same = activated(default)

    new = same.from_record(data)
    report = same(3).load_record(data)

    assert new.act is default
    assert report.changed == []


def test_what_no_file_holds_is_named_in_the_metadata_and_in_the_later_error() -> None:
    net: Any = Act(5, unregistered, handle=sys.stdout, level=1)

    stored = hparams_in(net)

    assert (stored["width"], stored["options"]) == (5, {"level": 1})
    assert stored["__unstored__"]["act"].startswith("the function tests")
    assert stored["__unstored__"]["handle"].startswith("an object of ")
    with pytest.raises(RecordMismatchError, match=r"act: .*unregis.*\n.*from_record"):
        Act.from_record(net.save_record())  # type: ignore[attr-defined]


class Level(enum.Enum):
    LOW = 1


class Open(burnish.Module, name="tests/open_arguments"):
    def __init__(self, value: Any = None, **options: Any) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1: 2}, r"a dict that has an int as a key \(annotate dict\[int, \.\.\.\]\)"),
        ({(1, 2): 3}, r"a dict that has a tuple as a key \(use strings\)"),
        (
            {"__ref__": "x"},
            "a dict with the key '__ref__', which would be read back as a",
        ),
        ("torch.float16", "the string 'torch.float16', which .* annotated with str"),
        (Level.LOW, r"Level.LOW \(annotate it with Level\)"),
        ([{"a": print}], r"a list with the function builtins.print at \.0\.a"),
    ],
)
def test_of_plain_data_that_no_file_holds_it_is_told_what_is_at_fault(
    value: Any, words: str
) -> None:
    with pytest.raises(
        RecordMismatchError,
        match=f"value: the argument .* could not be stored: {words}",
    ):
        Open.from_record(Open(value).save_record())


@pytest.mark.parametrize("key", ["__ref__", "__module__"])
def test_a_keyword_that_would_read_as_a_module_is_named_as_what_no_file_holds(
    key: str,
) -> None:
    data = Open(**{key: "x"}, other=1).save_record()

    with pytest.raises(
        RecordMismatchError,
        match=f"{key}: the argument of this Open could not be stored",
    ):
        Open.from_record(data)


def test_equal_modules_with_unstorable_arguments_give_equal_bytes() -> None:
    program = (
        "import sys, torch, burnish\n"
        "from torch import nn\n"
        "@burnish.module\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, f, g):\n"
        "        super().__init__()\n"
        "net = Net(lambda: 1, object())\n"
        "sys.stdout.write(repr(burnish.open_record(net.save_record()).metadata))\n"
    )

    # Two forks of one process would have equal addresses, and hash texts alike.
    command = [sys.executable, "-c", program]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert fresh_processes.run("-c", program).stdout == text
    assert "0x" not in text


def test_an_argument_that_a_child_cannot_store_is_named_with_its_path() -> None:
    net: Any = Outer(Act(3, unregistered), size=2)

    assert hparams_in(net)["size"] == 2
    with pytest.raises(RecordMismatchError, match=r"inner\.act"):
        Outer.from_record(net.save_record())  # type: ignore[attr-defined]


def test_arguments_that_were_lost_in_a_pickle_are_said_to_be() -> None:
    made: Any = Act(5, lambda x: x)

    stored = hparams_in(pickle.loads(pickle.dumps(Pickled(made))).net)

    assert "lambda" in stored["__unstored__"]["act"]


class Pickled:
    """A module without the attribute that no pickle holds."""

    def __init__(self, net: Any) -> None:
        net.act = None
        self.net = net


def test_an_instance_older_than_the_decoration_says_so_everywhere() -> None:
    class Net(nn.Module):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 2)

    early: Any = Net(4)
    decorated: Any = module(Net)

    with pytest.raises(NotImplementedError, match="built before its class was"):
        _ = early.hparams
    with pytest.raises(RecordMismatchError, match="built before its class was"):
        decorated.from_record(early.save_record())
    holder: Any = Outer(early)
    with pytest.raises(RecordMismatchError, match=r"inner: .*built before its class"):
        Outer.from_record(holder.save_record())  # type: ignore[attr-defined]
    assert decorated.from_record(early.save_record(), 4).fc.weight.equal(
        early.fc.weight
    )


def test_hyperparameters_asked_for_inside_of_the_constructor_are_not_known_yet() -> (
    None
):
    @module
    class Asks(nn.Module):
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 2)
            with pytest.raises(NotImplementedError):
                _ = self.hparams
            self.bytes = self.save_record()  # type: ignore[operator]  # it is ours

    with open_record(Asks(4).bytes) as record:
        assert "__unstored__" in record.metadata["burnish"]["hparams"]


def widened(init: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that takes more than its signature shows."""

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, extra: int = 0, **kwargs: Any) -> None:
        init(self, *args, **kwargs)

    return __init__


def test_a_constructor_that_takes_more_than_it_shows_does_not_lose_it_silently() -> (
    None
):
    @module
    class Net(nn.Module):
        @widened
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 2)

    plain, extra = Net(4), Net(4, extra=1)  # type: ignore[call-arg]  # it takes it

    assert hparams_in(plain)["width"] == 4
    assert "extra" in hparams_in(extra)["__unstored__"]["*"]
    with pytest.raises(RecordMismatchError, match="extra"):
        Net.from_record(extra.save_record())  # type: ignore[attr-defined, operator]


T = TypeVar("T")


class Cooperative:
    def __init__(self, *, mix: int = 1, **more: Any) -> None:
        super().__init__(**more)
        self.mix = mix


class Base(nn.Module):
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 2)


class Mixed(Cooperative, Base):
    pass


@dataclass(eq=False)
class Fields(nn.Module):
    width: int = 2

    def __post_init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(self.width, 2)


class Positional(nn.Module):
    def __init__(self, width: int, /, *sizes: int, **more: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, 2)
        self.rest = sizes, more


class Newed(Base):
    def __new__(cls, width: int = 2) -> Any:
        return super().__new__(cls)


class Slotted(Base):
    __slots__ = ("cache",)


class Calling(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class Metaclassed(Base, metaclass=Calling):
    pass


class Typed(Base, Generic[T]):
    pass


CLASSES = [Mixed, Fields, Positional, Newed, Slotted, Metaclassed, Typed]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_kind_of_class_comes_back_from_its_file_alone(cls: Any) -> None:
    decorated: Any = module(type(cls)(f"Own{cls.__name__}", (cls,), {}))
    arguments: dict[Any, Any] = {
        Mixed: ((), {"mix": 3, "width": 5}),
        Positional: ((5, 1, 2), {"deep": 4}),
    }
    args, kwargs = arguments.get(cls, ((5,), {}))
    net = decorated(*args, **kwargs)

    built = decorated.from_record(net.save_record())

    assert built.fc.weight.equal(net.fc.weight)
    assert getattr(built, "mix", 3) == 3
    assert getattr(built, "rest", None) == getattr(net, "rest", None)


def test_a_dataclass_on_top_of_the_decorator_is_told_to_change_places() -> None:
    @dataclass(eq=False)
    @module
    class Net(nn.Module):
        width: int = 2

    with pytest.raises(TypeError, match=r"put @burnish\.module above"):
        Net(4)


def test_a_dataclass_of_a_decorated_one_is_told_to_be_decorated_too() -> None:
    @module
    @dataclass(eq=False)
    class Base(nn.Module):
        width: int = 2

        def __post_init__(self) -> None:
            super().__init__()

    @dataclass(eq=False)
    class Net(Base):
        depth: int = 1

    with pytest.raises(NotImplementedError, match=r"put @burnish\.module above each"):
        burnish.get_hparams(Net(3, depth=2))
    with pytest.raises(RecordMismatchError, match=r"put @burnish\.module above each"):
        Net.from_record(burnish.save_record(Net(3, depth=2)))  # type: ignore[attr-defined]
    assert burnish.get_hparams(module(Net)(3, depth=2))["depth"] == 2


def test_compiled_modules_say_that_they_do_not_know_their_arguments() -> None:
    @module
    class Net(nn.Module):
        def __init__(self, width: int = 2) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)  # type: ignore[no-any-return]  # a module's call

    trace: Any = torch.jit.trace
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit")
        traced = trace(Net(3), torch.zeros(1, 3))

    with pytest.raises(NotImplementedError, match=r"before torch\.jit"):
        get_hparams(traced)


class Sizes(Hparams):
    width: int = 3

    @computed_field  # type: ignore[prop-decorator]  # pydantic's way
    @property
    def double(self) -> int:
        return 2 * self.width


class Nested(Hparams):
    sizes: Sizes = Sizes()


@module
class OfHparams(nn.Module):
    def __init__(self, sizes: Sizes, nested: Nested) -> None:
        super().__init__()
        self.fc = nn.Linear(sizes.width, nested.sizes.width)


def test_extended_hyperparameters_have_the_computed_fields_of_an_argument() -> None:
    net = OfHparams(Sizes(width=5), Nested(sizes=Sizes(width=6)))

    extended = get_hparams(net, extended=True)

    assert extended["sizes"] == {"width": 5, "double": 10}
    assert extended["nested"] == {"sizes": {"width": 6, "double": 12}}
    assert get_hparams(net)["sizes"] == {"width": 5}
    built: Any = from_hyperparameters(extended)
    assert (built.fc.in_features, built.fc.out_features) == (5, 6)


def test_arguments_of_nested_classes_are_checked_before_any_constructor_runs() -> None:
    node = dict(get_hparams(Outer(Act(3))))
    node["inner"] = {**node["inner"], "no_argument": 1}

    with pytest.raises(HyperparameterError, match=r"inner\.no_argument: Act takes no"):
        from_hyperparameters(node)


@pytest.mark.parametrize("levels", [60, 61, 62, 63, 64, 65])
def test_an_argument_that_nests_too_deep_for_a_file_costs_no_save(levels: int) -> None:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    hparams = hparams_in(Act(act=value))
    assert hparams["width"] == 3
    assert ("act" in hparams) == (levels <= 61)
