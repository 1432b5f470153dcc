"""Schemas of records, readable and read back."""

import json
from pathlib import Path

import pytest

from burnish.core.evolution.record_check import (
    assert_records_load,
)
from burnish.core.evolution.record_schema import dump_schema, load_schema, schema_of
from burnish.records import (
    RecordFormatError,
)

from .versions import RULES, attention_v2, define


def test_a_schema_is_readable_and_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    cls = define(attention_v2, 2, RULES)

    dump_schema(cls, file)

    told = json.loads(file.read_text())
    assert told["version"] == 2
    assert told["tensors"]["head.weight"] == ["parameter", "float32", [4, 4]]
    assert load_schema(file) == schema_of(cls)
    assert_records_load(file, cls)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"record_schema": 9}', "[" * 10**5])
def test_what_is_no_schema_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "schema.json"
    file.write_text(text)

    with pytest.raises(RecordFormatError):
        load_schema(file)
