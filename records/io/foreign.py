"""Recognition of other programs' files by their first bytes, with their readers."""

import re
from collections.abc import Callable

from ...config.short_text import first_names

_TEXT = (
    "If it holds a config, burnish.config.load(Class, file) reads it; a record "
    "holds weights and is written by save_record."
)

_SIGNATURES: tuple[tuple[bytes, int, str, str], ...] = (
    (b"\x93NUMPY", 0, "a NumPy array (.npy)", "Read it with numpy.load(file)."),
    (
        b"\x89HDF\r\n\x1a\n",
        0,
        "an HDF5 file",
        "Read it with h5py, or with the program that wrote it.",
    ),
    (b"GGUF", 0, "a GGUF file of llama.cpp", "The package gguf reads it."),
    (b"PK\x05\x06", 0, "an empty zip archive", "It is empty: copy it again."),
    (b"PAR1", 0, "a Parquet file", "pyarrow or pandas reads it."),
    (b"ARROW1", 0, "an Arrow file", "pyarrow reads it."),
    (b"SQLite format 3\0", 0, "a SQLite database", "Open it with sqlite3."),
    (b"\x89PNG\r\n", 0, "a PNG image", "It holds no weights."),
    (b"\xff\xd8\xff", 0, "a JPEG image", "It holds no weights."),
    (b"%PDF-", 0, "a PDF", "It holds no weights."),
    (b"\x7fELF", 0, "a program or library (ELF)", "It holds no weights."),
    (b"ustar", 257, "a tar archive", "Unpack it, and open the record in it."),
    (b"BZh", 0, "a file compressed with bzip2", "Unpack it first."),
    (b"\xfd7zXZ\0", 0, "a file compressed with xz", "Unpack it first."),
    (b"7z\xbc\xaf'\x1c", 0, "a 7z archive", "Unpack it first."),
    (b"Rar!\x1a\x07", 0, "a RAR archive", "Unpack it first."),
    (
        b"version https://git-lfs.github.com/spec/",
        0,
        "a Git LFS pointer instead of the file",
        "Fetch the file itself: git lfs pull.",
    ),
    (
        b"<!doctype html",
        0,
        "an HTML page, as servers send instead of a file",
        "Check the address, and download the file again.",
    ),
    (
        b"<html",
        0,
        "an HTML page, as servers send instead of a file",
        "Check the address, and download the file again.",
    ),
)
"""First bytes, their position, what the file is and what to do."""

_PICKLE = re.compile(rb"\x80[\x03-\x05][\x95(}\]cXKMJNC]")
_OLD_PICKLE = re.compile(rb"\((?:dp|lp)0?\n|\(i|c[a-zA-Z_.]+\n[a-zA-Z_]+\n")
_ONNX = re.compile(rb"\x08[\x01-\x20]\x12.[ -~]{3}", re.DOTALL)
_MESSAGEPACK = re.compile(rb"[\x80-\x9f][\x00-\x7f\x80-\xbf\xc0\xc2-\xdf]|[\xdc-\xdf]")

_PATTERNS: tuple[tuple[Callable[[bytes], object], str, str], ...] = (
    (
        lambda head: _PICKLE.match(head) or _OLD_PICKLE.match(head),
        "a pickle, which runs code when it is read",
        "If you trust it, load it with the program that wrote it, and save its tensors "
        "with burnish.save_record(state_dict, file).",
    ),
    (_ONNX.match, "an ONNX model", "The package onnx reads it."),
    (
        _MESSAGEPACK.match,
        "MessagePack from another program, or a damaged record",
        "The first key of a record is 'burnish'. The program that wrote the file reads "
        "it, as does msgpack.unpackb.",
    ),
)

HEAD = 512
"""Bytes that identify a file."""


def foreign_kind(head: bytes) -> tuple[str, str] | None:
    """Return what a file that begins with ``head`` is, and what to do; None if unknown.

    Only for files that are not records: those are recognized by their formats.
    """
    for signature, at, kind, cure in _SIGNATURES:
        if head[at : at + len(signature)].lower() == signature.lower():
            return kind, cure
    for matches, kind, cure in _PATTERNS:
        if matches(head):
            return kind, cure
    text = _as_text(head)
    if text is None:
        return None
    if not text:
        return "nothing but spaces", "Copy the file again, or use an older one."
    line = text.splitlines()[0]
    return f"text that begins with {line[:40]!r}", _TEXT


def foreign_json(key: str) -> tuple[str, str]:
    """Return what a JSON map that begins with ``key`` is, and what to do."""
    if key == "weight_map":
        return (
            "the index of weights in several files",
            "burnish.from_pretrained(folder, Net) reads the folder if "
            "config.json is in it, and burnish convert FOLDER NEW.mpk merges it "
            "into one file.",
        )
    if key == "step":
        return (
            "the list of a checkpoint's parts",
            "Pass the folder that it is in, or one of the records there.",
        )
    return f"JSON from another program, with the key {key!r:.80}", _TEXT


def foreign_archive(names: list[str]) -> tuple[str, str]:
    """Return what a zip archive with these files is, none of which is torch's."""
    members = first_names(map(repr, names), 3)
    if names and all(name.endswith(".npy") for name in names):
        return (
            f"NumPy arrays (.npz), {members}",
            "Convert numpy.load(file) with torch.from_numpy, and pass the tensors to "
            "burnish.Record.from_state_dict.",
        )
    if "model.weights.h5" in names:
        return "a Keras model", "Keras reads it: keras.saving.load_model(file)."
    return f"a zip archive with {members or 'nothing'} in it", "Unpack it first."


def _as_text(head: bytes) -> str | None:
    """Return the text without surrounding spaces, or None if the bytes are not text."""
    try:
        # The last character may be cut in two.
        text = head.decode("utf-8-sig", "strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        return None
    is_text = all(char.isprintable() or char.isspace() for char in text)
    return text.strip() if is_text else None
