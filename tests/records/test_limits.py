"""What is written can be read: each format's limits, from just below and just above."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from burnish.config.plain.codec import TAGGED_DEPTH
from burnish.config.plain.digits import MOST_DIGITS
from burnish.records import Record, RecordError, open_record
from burnish.records.entries.encoder import Encoder
from burnish.records.entries.entry import ParamId
from burnish.records.flat_record import FlatRecord
from burnish.records.limits import TEXT, WORD, text_cost
from burnish.records.recorder import Recorder

from ..formats_of_records import RECORDERS, SUFFIXES
from .hostile_files import entry

W = torch.arange(3.0)


def record(value: Any, place: str = "metadata") -> FlatRecord:
    """Return a record of one small tensor, with ``value`` as what ``place`` says."""
    entries = [entry("w", "parameter", W, ParamId("a" * 13))]
    if place == "extra state":
        tree = {"a._extra_state": Encoder().encode(value, "a")}
        return FlatRecord.of(entries, tree=tree, type_name="N")
    metadata = value if place == "metadata itself" else {"x": value}
    return FlatRecord.of(entries, metadata=metadata, type_name="N")


def read_back(record: FlatRecord, recorder: Recorder) -> FlatRecord | None:
    """Return what is read of what was written, or None if writing was refused."""
    try:
        data = recorder.dumps(record)
    except RecordError:
        return None
    found = open_record(data)
    found.load_all()
    return found


def check_equal(found: FlatRecord, record: FlatRecord) -> None:
    metadata = {k: v for k, v in found.metadata.items() if k != "burnish"}
    # NaN equals itself in the same place.
    assert sorted(map(repr, metadata.items())) == sorted(
        map(repr, record.metadata.items())
    )
    assert found.extra() == record.extra()
    assert [(e.path, e.id, e.ties) for e in found.entries()] == [
        (e.path, e.id, e.ties) for e in record.entries()
    ]
    for a, b in zip(found.entries(), record.entries(), strict=True):
        assert torch.equal(a.tensor(), b.tensor())


GROWING: dict[str, Callable[[int], Any]] = {
    "texts": lambda n: [f"token {i}" for i in range(n)],
    "a vocabulary": lambda n: {f"token {i}": i for i in range(n)},
    "pairs of texts": lambda n: {f"key {i}": f"value {i}" for i in range(n)},
    "integers": lambda n: list(range(10**6, 10**6 + n)),
    "floats": lambda n: [i / 7 for i in range(n)],
    "truths": lambda n: [True] * n,
    "lists": lambda n: [[]] * n,
    "pairs": lambda n: [[i, i] for i in range(n)],
    "tuples of maps": lambda n: [({"a": i},) for i in range(n)],
    "wide characters": lambda n: ["😀" + "a" * 300] * n,
    "one wide text": lambda n: "é" * 9 + "a" * (30 * n) + "😀",
}


@pytest.mark.parametrize("kind", GROWING)
@pytest.mark.parametrize("name", [*SUFFIXES, "bpk"])
def test_plain_data_is_read_up_to_the_limit_and_refused_by_name_beyond(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "metadata" if len(kind) % 2 else "extra state"
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 16)
    value, recorder = GROWING[kind], RECORDERS[name]
    least, beyond = 1, 1 << 12

    # Whatever is tried on the way to the limit is read as it was, or refused.
    while beyond - least > 1:
        middle = (least + beyond) // 2
        found = read_back(tried := record(value(middle), place), recorder)
        if found is None:
            beyond = middle
            continue
        least = middle
        check_equal(found, tried)

    assert least > 10
    if beyond < 1 << 12:
        with pytest.raises(RecordError, match=r"reader accepts|over 1100 times"):
            recorder.dumps(record(value(beyond), place))


@pytest.mark.parametrize("name", RECORDERS)
def test_the_number_of_entries_has_no_limit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 18)
    ids = ParamId.draw_many(2000)
    entries = [
        entry(f"layers.{i}.w", "parameter", torch.full((1,), float(i)), id_)
        for i, id_ in enumerate(ids)
    ]
    many = FlatRecord.of(entries, type_name="N")

    found = read_back(many, RECORDERS[name])

    assert found is not None
    check_equal(found, many)


class SmallState(Record):
    path: str
    values: dict[str, Any]


class SmallStates(Record):
    states: dict[str, SmallState]


@pytest.mark.parametrize("name", ["mpk", "mpk.zst"])
def test_the_number_of_small_states_has_no_limit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 16)
    moment = torch.tensor(0.5)
    states = {
        f"layers.{i}": SmallState(
            f"layers.{i}", {"step": i, "m": moment + i, "v": moment - i}
        )
        for i in range(2000)
    }

    data = RECORDERS[name].dumps(SmallStates(states))

    again = SmallStates.load(data)
    assert again.states["layers.1999"].values["m"] == 1999.5


ODD: dict[str, Any] = {
    "": 1, "\0": 2, "\n": "a\r\n", "$x": 3, "$tensor": "no", "__metadata__": "x",
    "format": "y", "é": "ü", "\u2028": "z", "a\\": "q", '"': '"', "a.b": "c", "w": "d",
}  # fmt: skip

VALUES: dict[str, Callable[[], FlatRecord]] = {
    "odd keys": lambda: record(ODD),
    "odd keys at the top": lambda: record(ODD, "metadata itself"),
    "odd keys in extra state": lambda: record(ODD, "extra state"),
    "long keys": lambda: record({"k" * 10_000: 1, "j" * 10_000: "x"}),
    "numbers": lambda: record(
        [float("nan"), -float("inf"), -0.0, 2**63, -(2**63) - 1, 2**53 + 1, 5e-324]
    ),
    "the longest integer": lambda: record(
        [10**MOST_DIGITS - 1, 1 - 10 ** (MOST_DIGITS - 1)]
    ),
    "a name of 4,096 bytes": lambda: renamed("n" * 4096),
    "a name of control characters": lambda: renamed('a\n\t\x01\x7f"\\'),
    "names that the library uses": lambda: FlatRecord.of(
        [
            entry("format", "parameter", W, ties=("z.format", "__metadata__")),
            entry("burnish", "parameter", W + 1, ties=("a.burnish",)),
            entry("__metadata__.x", "parameter", W + 2),
        ],
        metadata={"a.burnish": "text", "format": "text", "z.format": "text"},
        type_name="N",
    ),
    "many ties": lambda: FlatRecord.of(
        [entry("w", "parameter", W, ties=tuple(f"t{i}" for i in range(2000)))],
        type_name="N",
    ),
}


def renamed(path: str, *ties: str) -> FlatRecord:
    return FlatRecord.of([entry(path, "parameter", W, ties=ties)], type_name="N")


@pytest.mark.parametrize("case", VALUES)
@pytest.mark.parametrize("name", RECORDERS)
def test_odd_values_and_names_are_read_as_they_were(name: str, case: str) -> None:
    written = VALUES[case]()

    found = read_back(written, RECORDERS[name])

    assert found is not None
    check_equal(found, written)


SURROGATE = "\ud800"

REFUSED: dict[str, tuple[Callable[[], FlatRecord], str]] = {
    "a name of 10,000 bytes": (lambda: renamed("n" * 10_000), "path of over 4096"),
    "a name of 4,097 bytes": (lambda: renamed("n" * 4097), "path of over 4096"),
    "half a character in a name": (
        lambda: renamed(f"odd{SURROGATE}"),
        r"'odd\\ud800'.*not valid Unicode",
    ),
    "half a character in a key": (
        lambda: record({SURROGATE: 1}),
        r"^metadata\.x\.'\\ud800': a string that is not valid Unicode",
    ),
    "half a character in a value": (
        lambda: record(["a", SURROGATE]),
        r"^metadata\.x\.1: a string that is not valid Unicode",
    ),
    "half a character in a dict of integers": (
        lambda: record({3: ("a", {"b": SURROGATE})}, "extra state"),
        r"^a\._extra_state\.3\.1\.b: a string",
    ),
    "half a character in extra state": (
        lambda: record(SURROGATE, "extra state"),
        r"^a\._extra_state: a string",
    ),
    "metadata that is the library's": (
        lambda: record({"burnish": {"hparams": 3}}, "metadata itself"),
        r"burnish\.hparams",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", [*SUFFIXES, "bpk"])
def test_what_cannot_be_read_is_refused_by_name(name: str, case: str) -> None:
    written, problem = REFUSED[case]

    with pytest.raises(RecordError, match=problem):
        RECORDERS[name].dumps(written())


def test_a_tensor_of_the_name_of_the_metadata_is_refused_in_safetensors() -> None:
    with pytest.raises(RecordError, match=r"__metadata__: .*write\s+\.mpk"):
        RECORDERS["safetensors"].dumps(renamed("__metadata__"))


@pytest.mark.parametrize(
    "nest",
    [
        lambda inner: [inner],
        lambda inner: (inner,),
        lambda inner: {"a": inner},
        lambda inner: {"$a": inner},
    ],
    ids=["lists", "tuples", "maps", "maps of odd keys"],
)
@pytest.mark.parametrize("name", RECORDERS)
def test_values_nest_64_levels_deep_and_no_deeper(
    name: str, nest: Callable[[Any], Any]
) -> None:
    # Metadata is a map around its values.
    value: Any = 1
    for _ in range(TAGGED_DEPTH - 1):
        value = nest(value)

    found = read_back(written := record(value), RECORDERS[name])

    assert found is not None
    check_equal(found, written)
    with pytest.raises(TypeError, match="deeper than 64 levels"):
        RECORDERS[name].dumps(record(nest(value)))


class Nested(Record):
    inner: Any = None


@pytest.mark.parametrize("name", ["mpk", "mpk.zst", "json"])
def test_records_nest_as_deep_as_other_values(name: str) -> None:
    value = Nested(inner=W)
    for _ in range(TAGGED_DEPTH - 1):
        value = Nested(inner=value)

    found = open_record(RECORDERS[name].dumps(value))

    assert torch.equal(found[".".join(["inner"] * TAGGED_DEPTH)], W)


def test_integers_of_many_digits_are_refused_by_name() -> None:
    for value in (10**MOST_DIGITS, -(10**MOST_DIGITS), 10**100_000):
        with pytest.raises(
            TypeError, match=r"metadata\.x: an int of over 4,000 digits"
        ):
            Recorder().dumps(record(value))


def test_integers_are_read_whatever_limit_the_interpreter_has() -> None:
    written, limit = record(7**4000), sys.get_int_max_str_digits()

    sys.set_int_max_str_digits(640)
    try:
        found = open_record(Recorder().dumps(written)).metadata["x"]
    finally:
        sys.set_int_max_str_digits(limit)

    assert found == 7**4000


def test_a_long_text_is_refused_in_json_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.records.formats.json_reader.LONGEST_TEXT", 1 << 21)
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 16)
    long = record("x" * (5 << 20))

    for name in ("mpk", "safetensors"):
        found = read_back(long, RECORDERS[name])
        assert found is not None
        assert found.metadata["x"] == "x" * (5 << 20)
    with pytest.raises(RecordError, match=r"Write \.mpk"):
        RECORDERS["json"].dumps(long)


@pytest.mark.parametrize("n", [0, 3, 256])
def test_a_short_text_takes_its_bytes_and_what_surrounds_it(n: int) -> None:
    assert text_cost(b"x" * n) == TEXT + WORD + n


@pytest.mark.parametrize(
    "text",
    [
        "x" * 300,
        "x" * 300 + "\x80",
        "x" * 300 + "\xff",
        "x" * 300 + "\u0100",
        "x" * 300 + "\uffff",
        "x" * 300 + "\U00010000",
        "\uffff" * 300,
        "\U0010ffff" * 300,
    ],
    ids=ascii,
)
def test_a_long_text_takes_what_the_interpreter_says(text: str) -> None:
    counted = text_cost(text.encode())

    # Its header differs by a few bytes with the interpreter's version and the width.
    assert abs(counted - WORD - sys.getsizeof(text)) < 24


def test_the_memory_that_values_may_take_grows_with_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("burnish.records.limits.FREE", 1 << 16)
    numbers = list(range(10**6, 10**6 + 10_000))
    weights = torch.arange(1 << 18, dtype=torch.float32)

    def with_tensor(tensor: torch.Tensor) -> FlatRecord:
        entries = [entry("w", "parameter", tensor, ParamId("a" * 13))]
        return FlatRecord.of(entries, metadata={"x": numbers}, type_name="N")

    for name in ("mpk", "safetensors"):
        assert read_back(with_tensor(W), RECORDERS[name]) is None
        written = with_tensor(weights)
        found = read_back(written, RECORDERS[name])
        assert found is not None
        check_equal(found, written)
