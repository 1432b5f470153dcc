"""Files of other programs, which are called what they are."""

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import pytest
import torch

from burnish import open_record
from burnish.records import Record, RecordFormatError


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, weight=np.ones(3))
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(30))
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        members.writestr("hello.txt", "hello")
    return file.getvalue()


PLAIN: dict[str, Any] = {"lr": 0.1, "layers": list(range(60))}

FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "json": (
        lambda: json.dumps(PLAIN).encode(),
        "JSON from another .*'lr'.*config.load",
    ),
    "json in gzip": (lambda: gzip.compress(json.dumps(PLAIN).encode()), "JSON from a"),
    "a list in json": (lambda: b"[1, 2, 3]", r"text that begins with '\[1, 2, 3\]'"),
    "an index": (lambda: b'{"metadata": {}, "weight_map": {}}', "index.*from_pretrain"),
    "messagepack": (
        lambda: bytes(msgpack.packb(PLAIN) or b""),
        "MessagePack from another program",
    ),
    "ron": (lambda: b"(\n lr: 0.1,\n net: Net(width: 3),\n)\n", "text .*config.load"),
    "yaml": (lambda: b"lr: 0.1\nnet:\n  width: 3\n", "text that begins with 'lr: 0.1'"),
    "spaces": (lambda: b" \n" * 20, "nothing but spaces"),
    "nothing": (lambda: b"", "an empty file"),
    "gzip": (
        lambda: gzip.compress(b"hello " * 20),
        "a compressed file that contains .*text",
    ),
    "pickle 0": (lambda: pickle.dumps(PLAIN, 0), "a pickle, which runs code"),
    "pickle 2": (lambda: pickle.dumps(PLAIN, 2), "a pickle from another program"),
    "pickle 4": (lambda: pickle.dumps(PLAIN, 4), "a pickle, which runs code"),
    "npz": (arrays, r"NumPy arrays \(.npz\), 'weight.npy'.*numpy.load"),
    "npy": (array, r"a NumPy array .*numpy.load"),
    "zip": (archive, "a zip archive with 'hello.txt' in it"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file.*h5py"),
    "gguf": (lambda: b"GGUF\3\0\0\0" + bytes(99), "a GGUF file"),
    "onnx": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x052.6.0", "an ONNX model"),
    "tar": (lambda: b"a" * 257 + b"ustar\0" + bytes(300), "a tar archive"),
    "html": (lambda: b"<!DOCTYPE html><html>Not found</html>", "an HTML page"),
    "lfs": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "a Git LFS pointer.*git lfs pull",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_file_of_another_program_is_called_what_it_is(name: str) -> None:
    content, words = FOREIGN[name]

    with pytest.raises(RecordFormatError, match=words) as caught:
        open_record(content())

    assert "damaged at" not in str(caught.value)
    assert "damaged file" not in str(caught.value)


def test_a_key_that_no_record_has_is_damage_behind_the_key_of_records() -> None:
    text = Record.from_state_dict({"w": torch.ones(1)}).save(recorder="debug")

    with pytest.raises(RecordFormatError, match=r"damaged at byte .*unknown key 'x'"):
        open_record(text.replace(b'"burnish": 1', b'"burnish": 1, "x": 1'))


def test_a_character_cut_in_two_leaves_the_text_a_text() -> None:
    with pytest.raises(RecordFormatError, match="text that begins with 'xäää"):
        open_record(b"x" + "ä".encode() * 400)
