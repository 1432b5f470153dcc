"""Our part of a header, and the texts of others."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from burnish.records import (
    RecordFormatError,
    RecordVersionError,
    open_record,
)

from .safetensors_files import SUM, file_of, header_of, ours_with, row, saved, setting


def test_texts_of_metadata_are_there_for_everyone_and_the_rest_for_us() -> None:
    data = saved({"a": torch.ones(1)}, note="hello", nested={"deep": [1, None]})

    assert header_of(data)["__metadata__"]["note"] == "hello"
    assert header_of(data)["__metadata__"]["format"] == "pt"
    metadata = open_record(data).metadata
    assert metadata["note"] == "hello"
    assert metadata["nested"] == {"deep": [1, None]}


def test_another_dtype_than_was_written_is_noticed() -> None:
    data = saved({"w": torch.ones(9, dtype=torch.float16)})

    with pytest.raises(RecordFormatError, match="a dtype or shape of 'w'"):
        open_record(data.replace(b'"dtype":"F16"', b'"dtype":"U16"'))


def test_a_newer_version_of_our_part_is_refused() -> None:
    data = saved({"w": torch.ones(9)})

    with pytest.raises(RecordVersionError, match="version 2"):
        open_record(data.replace(b'"{\\"burnish\\":1', b'"{\\"burnish\\":2'))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (setting("burnish", to=0), "damaged metadata under the key 'burnish'"),
        (setting("burnish", to=True), "damaged metadata under the key 'burnish'"),
        (setting("burnish", to="1"), "damaged metadata under the key 'burnish'"),
        (setting("burnish", to=None), "damaged metadata under the key 'burnish'"),
        (setting("tensors", "path", to=["a", "c"]), "tensors other than its key"),
        (setting("tensors", "ties", to=[[1, ["aa"]]]), "tensors other than its key"),
        (setting("tensors", "shape", to=[[2], [2]]), "dtype or shape of 'b'"),
        (
            setting("tensors", "dtype", to=["float32", "int32"]),
            "dtype or shape of 'b'",
        ),
        (setting("tensors", "xxh3", to=[SUM]), "damaged checksums"),
        (setting("tensors", "xxh3", to=[SUM, SUM, SUM]), "damaged checksums"),
        (setting("tensors", "xxh3", to=[SUM, 3]), "'b' has the checksum 3"),
        (setting("tensors", "xxh3", to=[SUM, "0"]), "'b' has the checksum '0'"),
        (setting("tensors", "xxh3", to=[SUM, "x" * 16]), "'b' has the checksum 'x"),
        (setting("tensors", "xxh3", to=[SUM + "0", SUM]), "'a' has the checksum"),
        (setting("more", to=1), "wrong keys"),
    ],
)
def test_what_our_part_says_and_the_file_does_not_is_refused(
    change: Callable[[Any], object], problem: str
) -> None:
    assert open_record(ours_with(lambda _: None))["b"].shape == (3,)

    with pytest.raises(RecordFormatError, match=problem):
        open_record(ours_with(change))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "under the key 'burnish'"),
        ("3", "under the key 'burnish'"),
        ('"x"', "under the key 'burnish'"),
        ('{"burnish":1}x', "after the end"),
        ('{"burnish":1,"burnish":1}', "'burnish' twice"),
    ],
)
def test_our_part_is_one_map(text: str, problem: str) -> None:
    with pytest.raises(RecordFormatError, match=problem):
        open_record(file_of({"__metadata__": {"burnish": text}}))


def test_texts_of_metadata_that_are_names_too_are_kept_for_us() -> None:
    tied = torch.ones(2)
    tensors = {"w": tied, "tie": tied, "v": torch.zeros(1)}
    texts = {"w": "a", "tie": "b", "v": "c", "format": "d", "free": "e"}

    data = saved(tensors, **texts)

    shared = header_of(data)["__metadata__"]
    assert {k: shared.get(k) for k in texts} == {
        "w": "tie",
        "tie": None,
        "v": None,
        "format": "pt",
        "free": "e",
    }
    assert {k: open_record(data).metadata[k] for k in texts} == texts


def test_a_foreign_file_keeps_texts_that_only_look_like_ties() -> None:
    header = {
        "__metadata__": {"format": "a", "b": "a", "c": "elsewhere", "a": "b", "d": "a"},
        "a": row("F32", [1], 0, 4),
        "d": row("F32", [1], 4, 8),
    }

    record = open_record(file_of(header, b"\0" * 8))

    assert [(e.path, e.ties) for e in record.entries()] == [("a", ("b",)), ("d", ())]
    assert record.metadata == {"format": "a", "c": "elsewhere", "a": "b", "d": "a"}
