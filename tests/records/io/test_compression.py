"""Compression around a whole file."""

import io

import pytest

from burnish.records.io.compression import CODECS, Codec
from burnish.records.io.sink import StreamSink


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_compression_that_is_abandoned_writes_nothing_more(codec: Codec) -> None:
    file = io.BytesIO()
    compressed = codec.compressed(StreamSink(file), None)
    compressed.__enter__().write(b"content")
    before = file.getvalue()

    # As Python does with a generator that an interrupt left behind.
    compressed.gen.close()

    assert file.getvalue() == before


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_compression_that_fails_raises_that_error(codec: Codec) -> None:
    file = io.BytesIO()

    with (
        pytest.raises(RuntimeError, match="mine"),
        codec.compressed(StreamSink(file), None),
    ):
        raise RuntimeError("mine")
