"""What a load would do, decided from both sides: what fits, what is left, and why."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import burnish
from burnish.core import from_record, into_record, load_record
from burnish.records import FlatRecord, Record, RecordMismatchError


class Buffered(nn.Module):
    """A parameter and a buffer, which cannot be told apart by their tensors."""

    b: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))
        self.register_buffer("b", torch.zeros(2))


class Counting(nn.Module):
    """Extra state, and nothing else."""

    count = 0

    def get_extra_state(self) -> Any:
        return self.count

    def set_extra_state(self, state: Any) -> None:
        self.count = state


class Cached(nn.Module):
    """A parameter and a cache that is not persistent, of any size."""

    cache: Tensor

    def __init__(self, size: int, **factory: Any) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))
        self.register_buffer("cache", torch.zeros(size, **factory), persistent=False)


class Tied(nn.Module):
    """Three names of one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a = self.b = self.c = nn.Parameter(torch.zeros(2))


class Untied(nn.Module):
    """The same names, each of a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.zeros(2)) for _ in range(3))


def frozen() -> nn.Linear:
    module = nn.Linear(2, 2)
    module.weight.requires_grad_(False)
    return module


def record_of(**tensors: Tensor) -> FlatRecord:
    return Record.from_state_dict(tensors)


def problems_of(module: nn.Module, record: Any, **options: Any) -> tuple[str, ...]:
    with pytest.raises(RecordMismatchError) as caught:
        load_record(module, record, **options)
    return caught.value.problems


# Flags.


def test_a_frozen_parameter_comes_back_frozen_and_the_report_names_it_alone() -> None:
    built = from_record(lambda: nn.Linear(2, 2), burnish.save_record(frozen()))
    thawed = from_record(frozen, burnish.save_record(nn.Linear(2, 2)))

    assert not built.weight.requires_grad
    assert built.bias.requires_grad
    assert thawed.weight.requires_grad
    for module in (built, thawed):
        report = burnish.core.report_of(module)
        assert report is not None
        assert report.requires_grad == ["weight"]


def test_a_file_of_another_library_freezes_and_thaws_nothing() -> None:
    state = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}

    built = from_record(frozen, Record.from_state_dict(state))

    assert not built.weight.requires_grad
    assert built.bias.requires_grad


def test_a_buffer_is_never_thawed_by_a_stored_parameter() -> None:
    class Trained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(2))
            self.b = nn.Parameter(torch.ones(2))

    built = from_record(Buffered, burnish.save_record(Trained()))

    assert torch.equal(built.b, torch.ones(2))
    assert not built.b.requires_grad


def test_ids_are_those_of_parameters_alone() -> None:
    record = burnish.open_record(burnish.save_record(Buffered()))

    again = into_record(from_record(Buffered, record))

    ids = {entry.path: entry.id for entry in record.entries()}
    assert {entry.path: entry.id for entry in again.entries()} == ids
    assert ids["w"] is not None
    assert ids["b"] is None


# Dtypes.


def test_a_dtype_that_was_asked_for_is_that_of_parameters_alone() -> None:
    data = burnish.save_record(Buffered())

    built = from_record(Buffered, burnish.open_record(data, dtype=torch.float64))

    assert built.w.dtype is torch.float64
    assert built.b.dtype is torch.float32


def test_dtypes_as_stored_are_those_of_buffers_too() -> None:
    record = record_of(w=torch.ones(2).half(), b=torch.ones(2).half())
    opened = burnish.open_record(record, dtype="stored")

    built = from_record(Buffered, opened)

    assert built.w.dtype is torch.float16
    assert built.b.dtype is torch.float16
    report = burnish.core.report_of(built)
    assert report is not None
    assert report.converted == {}


def test_integers_are_widened_whatever_dtype_was_asked_for() -> None:
    class Counted(nn.Module):
        n: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("n", torch.zeros(2, dtype=torch.int64))

    record = record_of(n=torch.ones(2, dtype=torch.int32))

    built = from_record(Counted, burnish.open_record(record, dtype="stored"))

    assert built.n.dtype is torch.int64
    report = burnish.core.report_of(built)
    assert report is not None
    assert report.converted == {"n": (torch.int32, torch.int64)}


# Caches.


def test_a_cache_of_another_form_is_left_as_it_was_and_the_report_says_so() -> None:
    stored = Cached(3)
    with torch.no_grad():
        stored.w.fill_(1)
        stored.cache.fill_(1)
    data = burnish.save_record(stored)
    grown, same = Cached(5), Cached(3)

    report = load_record(grown, data)

    assert report.changed == [
        "cache: found shape (3,), expected (5,); left unchanged",
    ]
    assert report.loaded == ["w"]
    assert torch.equal(grown.w, stored.w)
    assert not grown.cache.any()
    assert load_record(same, data).changed == []
    assert same.cache.all()


def test_caches_are_never_missing_nor_unexpected() -> None:
    with_cache, without = burnish.save_record(Cached(3)), record_of(w=torch.ones(2))

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2))

    assert load_record(Bare(), with_cache).unexpected == []
    assert load_record(Cached(3), without).missing == []


# Ties.


def test_equal_values_of_one_tied_tensor_are_one_and_others_are_named() -> None:
    one, zero = torch.ones(2), torch.zeros(2)
    module = Tied()

    report = load_record(module, record_of(a=one, b=one.clone(), c=one.clone()))

    assert report.loaded == ["a"]
    assert report.unexpected == []
    assert torch.equal(module.a, one)
    problems = problems_of(module, record_of(a=one, b=one.clone(), c=zero))
    assert len(problems) == 1
    assert problems[0].startswith("a and c: found two different tensors")


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_any_name_of_a_tied_tensor_fills_it(name: str) -> None:
    module = Tied()

    report = load_record(module, record_of(**{name: torch.ones(2)}))

    assert report.loaded == ["a"]
    assert torch.equal(module.c, torch.ones(2))


def test_tensors_of_different_form_are_not_equal_values_of_a_tied_one() -> None:
    one = torch.ones(2)

    for other in (one.double(), torch.ones(1), torch.ones(2, 1)):
        problems = problems_of(Tied(), record_of(a=one, b=other))
        assert problems[0].startswith("a and b: found two different tensors")


def test_a_minus_zero_is_another_value_of_a_tied_tensor() -> None:
    zero = torch.zeros(2)

    problems = problems_of(Tied(), record_of(a=zero, b=-zero))

    assert problems[0].startswith("a and b: found two different tensors")


def test_what_is_tied_in_the_file_fills_every_name_of_the_module() -> None:
    tied = Tied()
    with torch.no_grad():
        tied.a.fill_(1)

    built = from_record(Untied, burnish.save_record(tied))

    assert all(torch.equal(p, torch.ones(2)) for p in built.parameters())
    assert len({p.data_ptr() for p in built.parameters()}) == 3
    report = burnish.core.report_of(built)
    assert report is not None
    assert report.loaded == ["a", "b", "c"]


# What is left over.


def test_each_side_is_told_what_the_other_lacks_and_what_it_is() -> None:
    record = record_of(w=torch.ones(2), old=torch.ones(3, dtype=torch.int32))

    assert problems_of(Buffered(), record) == (
        "b: expected buffer float32 (2,), found nothing.",
        "old: found tensor int32 (3,), expected nothing.",
    )


def test_extra_state_is_missing_and_unexpected_like_any_other() -> None:
    counting = into_record(nn.ModuleDict({"a": Counting(), "l": nn.Linear(1, 1)}))
    plain = into_record(nn.ModuleDict({"l": nn.Linear(1, 1)}))
    both: Any = nn.ModuleDict({"a": Counting(), "l": nn.Linear(1, 1)})
    bare: Any = nn.ModuleDict({"l": nn.Linear(1, 1)})

    assert problems_of(both, plain) == (
        "a._extra_state: expected extra state, found nothing.",
    )
    assert problems_of(bare, counting) == (
        "a._extra_state: found extra state, expected nothing.",
    )
    assert load_record(both, plain, strict=False).missing == ["a._extra_state"]
    assert load_record(bare, counting, strict=False).unexpected == ["a._extra_state"]
    assert "a._extra_state" in load_record(both, counting).loaded


def test_what_the_reader_left_out_is_not_missing() -> None:
    data = burnish.save_record(Buffered())

    report = load_record(Buffered(), burnish.open_record(data, exclude="b"))

    assert report.missing == ["b"]
    assert report.loaded == ["w"]


def test_a_name_is_not_proposed_for_a_tensor_of_another_shape() -> None:
    stored = Record.from_state_dict(
        {"fc_old.weight": torch.ones(3, 2), "fc_new.bias": torch.ones(3)}
    )
    module = nn.ModuleDict({"fc_new": nn.Linear(2, 3, bias=False)})

    problems = problems_of(module, stored)

    assert problems[0].endswith("found nothing. Did you mean 'fc_old.weight'?")
    assert problems[2].startswith("fc_new.bias: found")
    assert problems[2].endswith("expected nothing.")


def test_names_are_proposed_for_the_first_20_problems_alone() -> None:
    stored = Record.from_state_dict({f"layer_{c}": torch.ones(1) for c in _LETTERS})
    module: Any = nn.Module()
    for c in _LETTERS:
        module.register_parameter(f"layers_{c}", nn.Parameter(torch.ones(1)))

    problems = problems_of(module, stored)

    missing = [p for p in problems if p.startswith("layers_")]
    assert len(missing) == len(_LETTERS)
    assert sum("Did you mean" in line for line in missing) == 20


_LETTERS = "abcdefghijklmnopqrstuvwxy"


# Nothing at all.


@pytest.mark.parametrize("strict", [True, False])
def test_a_record_that_has_nothing_of_the_module_is_refused(strict: bool) -> None:
    options: Any = {"allow_missing": "**", "allow_unexpected": "**"} if strict else {}
    record = record_of(x=torch.ones(2), y=torch.ones(2))

    problems = problems_of(Buffered(), record, strict=strict, **options)
    report = load_record(Buffered(), record, strict=False, allow_empty=True)

    assert problems == (
        "nothing matches: found x, y, ..., expected w, b, .... To load nothing "
        "anyway: load_record(module, file, allow_empty=True)",
    )
    assert report.loaded == []
    assert report.missing == ["w", "b"]
    assert report.unexpected == ["x", "y"]


def test_extra_state_is_something_on_either_side() -> None:
    counting = into_record(nn.ModuleDict({"a": Counting()}))
    other: Any = nn.ModuleDict({"b": Counting()})
    same: Any = nn.ModuleDict({"a": Counting()})

    assert problems_of(Buffered(), counting, strict=False)[0].startswith(
        "nothing matches: found a._extra_state, ..., expected w, b"
    )
    assert problems_of(other, record_of(x=torch.ones(1)), strict=False)[0].startswith(
        "nothing matches: found x, ..., expected b._extra_state"
    )
    assert problems_of(other, counting, strict=False)
    assert load_record(same, counting).loaded == ["a._extra_state"]


def test_a_side_that_has_nothing_loads_nothing_without_a_word() -> None:
    empty: Any = nn.Identity()

    assert load_record(empty, record_of()).loaded == []
    assert load_record(empty, record_of(x=torch.ones(1)), strict=False).loaded == []
    assert load_record(Buffered(), record_of(), strict=False).missing == ["w", "b"]


def test_a_cache_alone_is_nothing_on_either_side() -> None:
    class CacheOnly(nn.Module):
        cache: Tensor

        def __init__(self, name: str) -> None:
            super().__init__()
            self.register_buffer(name, torch.zeros(2), persistent=False)

    record = into_record(CacheOnly("c"))

    assert load_record(CacheOnly("d"), record, strict=False).loaded == []
    assert load_record(Buffered(), record, strict=False).loaded == []
    other = load_record(CacheOnly("d"), record_of(x=torch.ones(1)), strict=False)
    assert other.unexpected == ["x"]


# Wrappers.


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module."]
)
def test_names_of_wrappers_are_read_past_where_that_makes_names_fit(
    prefix: str,
) -> None:
    state = {f"{prefix}{k}": v for k, v in Buffered().state_dict().items()}

    report = load_record(Buffered(), Record.from_state_dict(state))

    assert report.renamed == {f"{prefix}w": "w", f"{prefix}b": "b"}
    assert report.loaded == ["w", "b"]


def test_module_is_a_wrapper_only_where_all_names_begin_with_it() -> None:
    state = {"module.w": torch.ones(2), "b": torch.ones(2)}

    report = load_record(Buffered(), Record.from_state_dict(state), strict=False)

    assert report.loaded == ["b"]
    assert report.unexpected == ["module.w"]


@pytest.mark.parametrize("is_wrapped_first", [True, False])
def test_a_name_that_an_entry_has_is_not_given_to_another(
    is_wrapped_first: bool,
) -> None:
    state = {"w": torch.ones(2), "b": torch.ones(2)}
    wrapped = {"_orig_mod.w": torch.zeros(2)}
    both = {**wrapped, **state} if is_wrapped_first else {**state, **wrapped}
    module = Buffered()

    problems = problems_of(module, Record.from_state_dict(both))
    report = load_record(module, Record.from_state_dict(both), strict=False)

    assert problems[0].startswith("_orig_mod.w: found tensor float32 (2,)")
    assert report.unexpected == ["_orig_mod.w"]
    assert report.renamed == {}
    assert module.w.all()


def test_of_two_wrapped_entries_of_one_name_the_first_has_it() -> None:
    state = {"_orig_mod.w": torch.ones(2), "_forward_module.w": torch.zeros(2)}
    module = Buffered()

    report = load_record(module, Record.from_state_dict(state), strict=False)

    assert report.renamed == {"_orig_mod.w": "w"}
    assert report.unexpected == ["_forward_module.w"]
    assert module.w.all()


def test_a_reader_that_renames_and_a_wrapper_are_both_in_the_report() -> None:
    state = {"_orig_mod.w": torch.ones(2), "old": torch.ones(2)}
    opened = burnish.open_record(Record.from_state_dict(state), rename={"old": "b"})

    report = load_record(Buffered(), opened)

    assert report.renamed == {"old": "b", "_orig_mod.w": "w"}


@pytest.mark.parametrize("value", [np.zeros(2, np.float32), 1.5, None, [0.0, 0.0]])
def test_plain_data_in_the_place_of_a_tensor_is_one_problem(value: Any) -> None:
    state_dict = {**Buffered().state_dict(), "w": value}

    with pytest.raises(RecordMismatchError) as caught:
        load_record(Buffered(), Record.from_state_dict(state_dict))

    assert caught.value.problems == (
        "w: found extra state, which is not a tensor, expected parameter float32 (2,)",
    )


def test_a_buffer_that_is_persistent_on_one_side_alone_is_proposed_for_no_other() -> (
    None
):
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("a", torch.zeros(2))
            self.register_buffer("b", torch.zeros(2), persistent=False)

    record = Record.from_state_dict({"b": torch.ones(2)})

    with pytest.raises(RecordMismatchError, match=r"a: expected buffer") as caught:
        load_record(Turned(), record)

    assert "'b': 'a'" not in caught.value.cure
