"""Precision: what is converted, what never is, and what does not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.records import (
    Entry,
    FlatRecord,
    Precision,
    PrecisionError,
    Record,
    open_record,
)
from burnish.records.precision import Target

DTYPES = {
    "full": torch.float32,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "double": torch.float64,
}


def record_of(
    tensor: torch.Tensor, kind: str = "parameter", path: str = "w"
) -> FlatRecord:
    entry = Entry(path, kind, tensor.dtype, tuple(tensor.shape), tensor)  # type: ignore[arg-type]  # a Kind
    return Record.from_entries([entry])


def stored(record: Record | FlatRecord, precision: object) -> torch.Tensor:
    data = record.save(precision=precision)  # type: ignore[call-overload]  # any precision
    tensor: torch.Tensor = open_record(data)["w"]
    return tensor


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize(
    "source", [torch.float32, torch.float16, torch.bfloat16, torch.float64]
)
def test_parameters_are_stored_as_torch_would_convert_them(
    name: str, source: torch.dtype
) -> None:
    values = torch.randn(300, 7).to(source)

    found = stored(record_of(values), name)

    assert found.dtype is DTYPES[name]
    assert torch.equal(found, values.to(DTYPES[name]))


@pytest.mark.parametrize("kind", ["buffer", "transient", "extra"])
def test_buffers_stay_as_they_are(kind: str) -> None:
    values = torch.tensor([1e-9, 3e38])

    found = stored(record_of(values, kind), "half")

    assert found.dtype is torch.float32
    assert torch.equal(found, values)


def test_persistent_buffers_are_converted_when_asked_and_others_never() -> None:
    half = Precision(param="half", buffer="half")

    assert stored(record_of(torch.ones(2), "buffer"), half).dtype is torch.float16
    assert stored(record_of(torch.ones(2), "transient"), half).dtype is torch.float32


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.bool, torch.uint8, torch.complex64]
)
def test_integers_booleans_and_complex_numbers_are_never_touched(
    dtype: torch.dtype,
) -> None:
    values = torch.ones(5).to(dtype)

    assert stored(record_of(values), "half").dtype is dtype


def test_entries_to_keep_are_chosen_by_pattern() -> None:
    precision = Precision(param=torch.float16, keep=["**.norm.*"])

    record = Record.from_state_dict(
        {"a.norm.weight": torch.ones(2), "a.lin.weight": torch.ones(2)}
    )

    again = open_record(record.save(precision=precision))

    assert again["a.norm.weight"].dtype is torch.float32
    assert again["a.lin.weight"].dtype is torch.float16


@pytest.mark.parametrize("size", [1, 100, 3_000_000])
@pytest.mark.parametrize("value", [1e6, -7e4, 65520.0])
def test_a_finite_value_that_would_become_infinite_is_refused(
    size: int, value: float
) -> None:
    values = torch.zeros(size)
    values[size // 2] = value

    with pytest.raises(
        PrecisionError, match=r"w: .* does not fit float16\. .*bfloat16"
    ) as caught:
        record_of(values).save(precision="half")

    assert caught.value.path == "w"
    assert caught.value.value == value


def test_the_refusal_names_the_entry_among_many_small_ones() -> None:
    tensors = {f"layers.{i}.w": torch.zeros(10) for i in range(50)}
    tensors["layers.31.w"][3] = 1e30

    with pytest.raises(PrecisionError, match=r"layers\.31\.w: 1e\+30"):
        Record.from_state_dict(tensors).save(precision="half")


@pytest.mark.parametrize(
    "value", [65504.0, 65519.0, float("inf"), float("-inf"), float("nan")]
)
def test_values_that_fit_and_those_that_were_never_finite_pass(value: float) -> None:
    values = torch.tensor([value, 1.0])

    found = stored(record_of(values), "half")

    assert torch.equal(found.nan_to_num(7), values.half().nan_to_num(7))


def test_an_overflow_hidden_behind_a_nan_is_still_refused() -> None:
    with pytest.raises(PrecisionError, match=r"w: 1e\+10"):
        record_of(torch.tensor([float("nan"), 1e10])).save(precision="half")


@pytest.mark.parametrize(
    ("overflow", "expected"), [("saturate", 65504.0), ("allow", float("inf"))]
)
def test_overflow_can_saturate_or_be_allowed(overflow: str, expected: float) -> None:
    precision = Precision(param="half", overflow=overflow)  # type: ignore[arg-type]  # parametrized
    values = torch.tensor([1e6, -1e6, 2.0, float("inf")])

    found = stored(record_of(values), precision)

    assert found.tolist() == [expected, -expected, 2.0, float("inf")]


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_float8_is_a_precision_too(dtype: torch.dtype) -> None:
    values = torch.randn(1000)

    found = stored(record_of(values), Precision(param=dtype))

    assert found.dtype is dtype
    assert torch.equal(found.float(), values.to(dtype).float())
    with pytest.raises(PrecisionError, match="float8"):
        record_of(torch.tensor([1e9])).save(precision=dtype)


@pytest.mark.parametrize("wrong", ["float17", torch.int8, 3])
def test_what_is_no_precision_is_refused_with_the_names_that_are(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"full, half|a floating dtype"):
        record_of(torch.ones(1)).save(precision=wrong)  # type: ignore[call-overload]  # what is tested


VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "transposed": lambda t: t.transpose(0, 1),
    "sliced": lambda t: t[1:, ::2],
    "expanded": lambda t: t[:1].expand(50, *t.shape[1:]),
    "channels_last": lambda t: t[None, None].to(memory_format=torch.channels_last),
    "conjugated": lambda t: torch.complex(t, t).conj(),
    "imaginary": lambda t: torch.complex(t, t).conj().imag,
    "flipped": lambda t: t.flip(0),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("precision", [None, "half"])
@pytest.mark.parametrize("shape", [(4, 6), (700, 900)])
def test_views_of_every_kind_store_their_values(
    view: str, precision: str | None, shape: tuple[int, ...]
) -> None:
    values = VIEWS[view](torch.randn(shape))
    expected = values.half() if precision and values.is_floating_point() else values

    found = stored(record_of(values), precision)

    assert torch.equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    source=st.sampled_from(sorted(DTYPES)),
    target=st.sampled_from([None, *sorted(DTYPES)]),
)
def test_any_shape_and_pair_of_dtypes_comes_back(
    shape: list[int], source: str, target: str | None
) -> None:
    values = torch.randn(shape).to(DTYPES[source])

    found = stored(record_of(values), target)

    assert torch.equal(found, values.to(DTYPES[target] if target else values.dtype))


def test_all_16_bit_patterns_survive_unconverted(tmp_path: Path) -> None:
    patterns = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        file = tmp_path / f"{dtype}.mpk"

        record_of(patterns.view(dtype)).save(file)

        assert torch.equal(open_record(file)["w"].view(torch.int16), patterns)


class Moments(Record):
    """What an optimizer remembers of one parameter."""

    step: int
    second: torch.Tensor


@pytest.mark.parametrize("precision", ["half", "bfloat16", "double", torch.float16])
def test_records_with_declared_fields_keep_their_dtypes(precision: object) -> None:
    moments = Moments(step=3, second=torch.tensor([1e-12, 0.5]))

    data = moments.save(precision=precision)  # type: ignore[call-overload]  # parametrized
    back = Moments.load(data)

    assert torch.equal(back.second, moments.second)
    assert "precision" not in open_record(data).metadata["burnish"]


@pytest.mark.parametrize(
    "precision",
    [Precision(tensor="half"), Precision(paths={"sec*": torch.float16})],
    ids=["kind", "path"],
)
def test_declared_tensors_are_converted_when_their_kind_or_path_is_named(
    precision: Precision,
) -> None:
    second = torch.linspace(0.25, 2, 1000)

    back = Moments.load(Moments(step=3, second=second).save(precision=precision))

    assert torch.equal(back.second, second.half())
    with pytest.raises(PrecisionError, match=r"second: 1e-12 .* would become 0"):
        Moments(step=3, second=torch.tensor([0.5, 1e-12])).save(precision=precision)


@pytest.mark.parametrize("size", [3, 3_000_000])
def test_underflow_of_parameters_is_allowed_counted_or_refused_as_asked(
    size: int,
) -> None:
    values = torch.zeros(size)
    values[1], values[2] = 1e-9, -1e-10

    allowed = stored(record_of(values), "half")
    with pytest.warns(UserWarning, match="2 values other than 0 .* in 1 entry, w "):
        warned = stored(record_of(values), Precision(param="half", underflow="warn"))

    assert not allowed.any()
    assert not warned.any()
    with pytest.raises(PrecisionError, match=r"w: (1e-09|-1e-10) does not fit"):
        record_of(values).save(precision=Precision(param="half", underflow="error"))


def test_a_buffer_that_is_converted_may_not_become_zero() -> None:
    half = Precision(buffer="half")

    with pytest.raises(PrecisionError, match="w: 1e-09 does not fit float16"):
        record_of(torch.tensor([1e-9]), "buffer").save(precision=half)

    allowed = Precision(buffer="half", underflow="allow")
    assert stored(record_of(torch.tensor([1e-9]), "buffer"), allowed).item() == 0


def test_the_tensors_of_a_state_dict_are_converted_as_parameters_are() -> None:
    state = {"weight": torch.tensor([0.5, 1e-9]), "steps": torch.tensor(3)}

    back = open_record(Record.from_state_dict(state).save(precision="half"))

    assert back["weight"].dtype is torch.float16
    assert back["steps"].dtype is torch.int64


def test_paths_choose_dtypes_over_kinds_the_last_match_first() -> None:
    precision = Precision(
        param="half", paths={"**.norm.*": None, "a.**.bias": "bfloat16"}
    )
    paths = ["a.lin.weight", "a.norm.weight", "a.norm.bias", "b.norm.bias"]

    record = Record.from_state_dict({path: torch.ones(2) for path in paths})
    again = open_record(record.save(precision=precision))

    dtypes = [again[path].dtype for path in paths]
    assert dtypes == [torch.float16, torch.float32, torch.bfloat16, torch.float32]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"underflow": "ignore"}, "underflow must be 'allow', 'warn' or 'error'"),
        ({"tensor": "tiny"}, "tensor='tiny' is not a precision"),
        ({"paths": {"a": torch.int8}}, r"paths\['a'\] must be a floating dtype"),
    ],
)
def test_a_wrong_precision_is_refused_when_it_is_made(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Precision(**arguments)  # type: ignore[arg-type]  # what is tested


def test_opening_at_another_dtype_leaves_the_state_of_an_optimizer() -> None:
    data = Moments(step=3, second=torch.tensor([1e-12])).save()

    record = open_record(data, dtype=torch.float16)

    assert record.typed(Moments).second.dtype is torch.float32


@pytest.mark.parametrize(
    ("name", "ours"), [("fp16", "half"), ("bf16", "bfloat16"), ("float32", "full")]
)
def test_what_others_call_a_precision_is_answered_with_our_name(
    name: str, ours: str
) -> None:
    with pytest.raises(ValueError, match=f"precision='{name}'.*Did you mean '{ours}'"):
        Record.from_state_dict({"a": torch.ones(1)}).save(precision=name)  # type: ignore[call-overload]  # the test


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        (Precision(param="half", keep=["nrm.**"]), r"keep='nrm\.\*\*' matches nothing"),
        (Precision(paths={"x": "half"}), r"paths=\{'x': \.\.\.\} matches nothing"),
    ],
)
def test_a_pattern_that_matches_nothing_is_a_warning(
    precision: Precision, words: str
) -> None:
    record = record_of(torch.ones(1), path="norm.weight")

    with pytest.warns(UserWarning, match=words):
        record.save(precision=precision)


def test_patterns_that_match_are_silent_and_a_part_has_those_of_its_own() -> None:
    precision = Precision(keep=["a.*", "b.*"], paths={"b.w": "half", "a.w": "double"})
    whole = Record.from_state_dict({"a.w": torch.ones(1), "b.w": torch.ones(1)})

    whole.save(precision=precision)

    part = precision.within(whole.select(only="a.*"))
    assert (part.keep, part.paths) == (["a.*"], {"a.w": torch.float64})


class SmallStaySingle(Precision):
    """Large tensors at half precision, the others as they are."""

    def __init__(self, most: int) -> None:
        super().__init__(keep="kept")
        self.most = most

    def stored_dtype(self, entry: Entry) -> torch.dtype | None:
        return torch.float16 if entry.nbytes > self.most else None


class Answering(Precision):
    answer: object = None

    def stored_dtype(self, entry: Entry) -> object:  # type: ignore[override]  # wrong on purpose
        return self.answer


def test_a_subclass_decides_by_what_it_knows_of_an_entry() -> None:
    state_dict = {
        "small": torch.ones(3),
        "large": torch.ones(300),
        "kept": torch.ones(400),
        "numbers": torch.ones(300, dtype=torch.int64),
    }

    data = Record.from_state_dict(state_dict).save(precision=SmallStaySingle(1_000))

    assert {path: t.dtype for path, t in open_record(data).items()} == {
        "small": torch.float32,
        "large": torch.float16,
        "kept": torch.float32,
        "numbers": torch.int64,
    }


def test_a_subclass_that_asks_its_base_gets_what_the_fields_say() -> None:
    class AllButBias(Precision):
        def stored_dtype(self, entry: Entry) -> Target:
            return None if "bias" in entry.path else super().stored_dtype(entry)

    record = Record.from_state_dict(
        {"a.weight": torch.ones(2), "a.bias": torch.ones(2)}
    )
    saved = open_record(record.save(precision=AllButBias(param="half")))

    assert [t.dtype for t in saved.values()] == [torch.float16, torch.float32]


def test_a_subclass_decides_in_records_with_declared_fields_too() -> None:
    class Moments(Record):
        first: torch.Tensor
        second: torch.Tensor

    class FirstAsHalf(Precision):
        def stored_dtype(self, entry: Entry) -> Target:
            return "half" if entry.path == "first" else None

    data = Moments(torch.ones(2), torch.ones(2)).save(precision=FirstAsHalf())
    saved = Moments.load(data)

    assert (saved.first.dtype, saved.second.dtype) == (torch.float16, torch.float32)


@pytest.mark.parametrize("answer", [torch.int8, "fp16", 3])
def test_an_answer_that_is_no_precision_names_the_class_and_the_entry(
    answer: object, tmp_path: Path
) -> None:
    class Wrong(Answering):
        pass

    Wrong.answer = answer
    file = tmp_path / "w.mpk"
    with pytest.raises(ValueError, match=r"Wrong\.stored_dtype\('w'\)"):
        record_of(torch.ones(2)).save(file, precision=Wrong())
    assert not file.exists()


def test_what_a_subclass_added_is_kept_for_a_part_of_a_record() -> None:
    record = Record.from_state_dict({"a": torch.ones(2)})

    part = SmallStaySingle(7).within(record)

    assert isinstance(part, SmallStaySingle)
    assert (part.most, part.keep) == (7, [])


@pytest.mark.parametrize(
    ("precision", "cure"),
    [
        ("float16", "Did you mean 'half'"),
        ("float8_e4m3fn", "Pass the dtype itself, torch.float8_e4m3fn"),
        ("int8", "quantize the module"),
        (torch.int8, "quantize the module"),
    ],
)
def test_what_others_call_a_precision_is_told_with_what_to_do(
    precision: object, cure: str
) -> None:
    with pytest.raises(ValueError, match=cure):
        stored(record_of(torch.ones(2)), precision)
