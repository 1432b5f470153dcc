"""A call that Python refuses says which call takes the keyword."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import burnish
from burnish.core import load_record
from burnish.optim import AdamW
from burnish.records import Record, RecordMismatchError
from burnish.records.calls import home_of


class Net(burnish.Module):
    def __init__(self, width: int = 4, p: float = 0.1) -> None:
        super().__init__()
        self.lin = nn.Linear(3, width)
        self.drop = nn.Dropout(p)


class Plain(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.lin = nn.Linear(3, width)


DATA = Net().save_record()
Call = Callable[..., Any]

READERS: dict[str, tuple[Call, str]] = {
    "load_record": (
        lambda **options: load_record(Net(), DATA, **options),
        "burnish.load_record(module, {})",
    ),
    "net.load_record": (
        lambda **options: Net().load_record(DATA, **options),
        "burnish.load_record(module, {})",
    ),
    "from_record": (
        lambda **options: burnish.from_record(Net, DATA, **options),
        "burnish.from_record(lambda: Net(...), {})",
    ),
    "Net.from_record": (
        lambda **options: Net.from_record(DATA, **options),
        "Net.from_record({})",
    ),
    "verify_file": (
        lambda **options: burnish.verify_file(DATA, **options),
        "burnish.verify_file({})",
    ),
    "Record.load": (
        lambda **options: Record.load(DATA, **options),
        "Record.load({})",
    ),
}
"""Calls that read, and how they are written with another source."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "option", ["verify", "mmap", "only", "exclude", "rename", "dtype", "device"]
)
def test_every_reader_sends_the_options_of_reading_to_open_record(
    reader: str, option: str
) -> None:
    call, written = READERS[reader]
    example = written.format(f"burnish.open_record(file, {option}=...)")

    with pytest.raises(TypeError, match=re.escape(f"open_record: {example}.")):
        call(**{option: None})


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_knows_what_torch_calls_its_options(reader: str) -> None:
    call, _ = READERS[reader]

    with pytest.raises(TypeError, match=r"called device.*device=\.\.\."):
        call(map_location="cpu")
    with pytest.raises(TypeError, match=r"'weights_only'.*Remove it"):
        call(weights_only=True)


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("strict", r"option of burnish\.load_record: burnish\.load_record\(module"),
        ("map_location", r"called device: burnish\.open_record\(file, device=\.\.\.\)"),
        ("devise", "Did you mean 'device'"),
        ("zzzzzz", "It takes verify, sha256, mmap"),
    ],
)
def test_open_record_says_whose_other_keywords_are(option: str, answer: str) -> None:
    call: Any = burnish.open_record

    with pytest.raises(TypeError, match=f"open_record takes no '{option}'.*{answer}"):
        call(DATA, **{option: True})


@pytest.mark.parametrize(
    ("option", "answer"),
    [
        ("dtype", r"called precision: burnish\.save_record\(module, file, precision="),
        ("compression", r"recorder=burnish\.records\.Recorder\(compression=\.\.\.\)"),
        ("rename", r"burnish\.open_record\(file, rename=\.\.\.\)"),
        ("pickle_protocol", "Remove it: nothing is pickled"),
        ("excludes", "Did you mean 'exclude'"),
    ],
)
def test_save_record_says_whose_other_keywords_are(option: str, answer: str) -> None:
    call: Any = burnish.save_record

    with pytest.raises(TypeError, match=f"save_record takes no '{option}'.*{answer}"):
        call(Net(), **{option: True})


def test_an_argument_of_the_constructor_goes_into_a_function() -> None:
    from_record: Any = burnish.from_record
    load: Any = load_record

    with pytest.raises(TypeError, match=r"lambda: Plain\(width=\.\.\.\), file"):
        from_record(Plain, DATA, width=4)
    with pytest.raises(TypeError, match=r"or Net\.from_record\(file, width=\.\.\.\)"):
        from_record(Net, DATA, width=4)
    with pytest.raises(TypeError, match=r"or Net\.from_record\(file, width=\.\.\.\)"):
        load(Net(), DATA, width=4)


def test_from_pretrained_tells_how_another_argument_is_given(tmp_path: Path) -> None:
    folder = str(tmp_path / "net")
    Net(width=5).save_pretrained(folder)
    call: Any = Net.from_pretrained

    with pytest.raises(TypeError, match="an argument of Net") as error:
        call(folder, p=0.5)
    written = re.search(r"from_record\('(.*)', p=\.\.\.\)", str(error.value))
    assert written is not None
    net = Net.from_record(written[1], p=0.5)

    assert (net.drop.p, net.lin.out_features) == (0.5, 5)
    with pytest.raises(TypeError, match=r"takes no 'strcit'.*'strict'"):
        call(folder, strcit=False)


def test_a_missing_argument_is_told_with_an_example() -> None:
    calls: list[tuple[Call, str]] = [
        (lambda: load_record(Net()), r"'source'.*burnish\.load_record\(module, file\)"),  # type: ignore[call-arg]
        (lambda: Net().load_record(), r"'source'.*net\.load_record\(file\)"),  # type: ignore[call-arg]
        (lambda: AdamW().bind(Net()), r"'lr'.*optimizer\.bind\(net, lr=1e-3\)"),  # type: ignore[call-arg]
    ]

    for call, answer in calls:
        with pytest.raises(TypeError, match=answer):
            call()


def test_a_hyperparameter_given_to_bind_belongs_to_the_optimizer() -> None:
    bind: Any = AdamW().bind

    with pytest.raises(TypeError, match=r"AdamW\(weight_decay=\.\.\.\)\.bind\(net"):
        bind(Net(), lr=0.1, weight_decay=0.1)


def test_an_optimizer_sends_the_options_of_reading_to_open_record() -> None:
    net = Net()
    optim: Any = AdamW().bind(net, lr=0.1)

    with pytest.raises(TypeError, match=r"load_record\(burnish\.open_record\("):
        optim.load_record(optim.save_record(), only="lin.**")


def test_restore_takes_parts_and_says_so_of_an_option(tmp_path: Path) -> None:
    net = Net()
    checkpoints = burnish.Checkpoints(tmp_path)
    checkpoints.save(1, model=net)

    with pytest.raises(RecordMismatchError, match=r"open_record\(file, only=\.\.\.\)"):
        checkpoints.restore(model=net, only="lin.**")
    with pytest.raises(RecordMismatchError, match=r"which holds model\. Name a part"):
        checkpoints.restore(model=net, other=net)


def test_a_type_error_inside_of_a_call_stays_what_it_is() -> None:
    def build() -> nn.Module:
        return nn.Linear("3", 4)  # type: ignore[arg-type]  # the test

    with pytest.raises(TypeError) as plain:
        build()
    with pytest.raises(TypeError, match=f"^{re.escape(str(plain.value))}$"):
        burnish.from_record(build, DATA)


def test_signatures_are_those_of_the_functions() -> None:
    import inspect

    parameters = inspect.signature(burnish.open_record).parameters

    assert [*parameters][:3] == ["file", "verify", "sha256"]
    assert home_of("nobody_takes_this", "f(file{})", "read") is None


def test_an_option_that_comes_by_position_is_told_to_go_by_name(tmp_path: Path) -> None:
    save: Any = Net().save_record

    with pytest.raises(TypeError, match=r"^net.save_record: .*pass the rest by name"):
        save(tmp_path / "net.mpk", "half")


def test_all_of_something_is_a_pattern_of_two_stars() -> None:
    with pytest.raises(TypeError, match=r"got True; '\*\*' matches everything"):
        load_record(Net(), Record.from_state_dict({}), allow_missing=True)  # type: ignore[arg-type]  # no pattern


def test_a_state_dict_that_is_none_says_what_one_is() -> None:
    for value in (Net(), "weights.pt"):
        with pytest.raises(TypeError, match=r"as module.state_dict\(\) does"):
            Record.from_state_dict(value)  # type: ignore[arg-type]  # no dict


FLAGS: dict[str, Callable[..., Any]] = {
    "strict": lambda **o: load_record(Net(), DATA, **o),
    "allow_empty": lambda **o: burnish.from_record(Net, DATA, **o),
    "verify": lambda **o: burnish.open_record(DATA, **o),
    "mmap": lambda **o: burnish.open_record(DATA, **o),
    "wait": lambda **o: burnish.save_record(Net(), "never-written.mpk", **o),
}
"""Calls with an option that is declared as bool."""


@pytest.mark.parametrize("value", ["no", "False", 0, 1, [], 0.0])
@pytest.mark.parametrize("option", FLAGS)
def test_an_option_that_is_true_or_false_takes_nothing_else(
    option: str, value: Any
) -> None:
    choice = "True, False or None" if option == "mmap" else "True or False"

    with pytest.raises(
        TypeError, match=re.escape(f"{option} must be {choice}, got {value!r}")
    ):
        FLAGS[option](**{option: value})


@pytest.mark.parametrize("option", ["overwrite", "push_to_hub", "safe_serialization"])
def test_an_option_that_no_save_needs_is_told_to_be_left_out(
    option: str, tmp_path: Path
) -> None:
    save: Any = burnish.save_pretrained

    with pytest.raises(TypeError, match=f"'{option}'. Remove it: "):
        save(nn.Linear(1, 1), tmp_path, **{option: True})
