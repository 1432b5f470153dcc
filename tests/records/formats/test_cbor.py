"""Hostile CBOR is refused at once."""

import pytest

from burnish.records import (
    RecordFormatError,
    open_record,
)

from .burnpacks import raw


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xbf\xff",
        b"\xa1\x7f",
        b"\xbb" + b"\xff" * 8,
        b"\xa1\x67tensors\xbb" + b"\xff" * 8,
        b"\xa1\x67tensors\xa1\x7b" + b"\xff" * 8,
        b"\xa1\x61x" + b"\x81" * 200_000,
        b"\xa1\x61x" + b"\xd9\xd9\xf7" * 100_000,
        b"\xa2\x61x\x01\x61x\x02",
        b"\xa1\x62\xff\xfe\x01",
        b"\xa1\x61x\xf8\x20",
        b"\xa1\x67tensors\xa0\x00",
    ],
)
def test_hostile_cbor_is_refused_at_once(text: bytes) -> None:
    with pytest.raises(RecordFormatError):
        open_record(raw(text))
