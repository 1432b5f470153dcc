"""Storage: records, precisions, recorders, formats. Tensors, never modules."""

from typing import TYPE_CHECKING

from ..config.lazy_exports import lazily

if TYPE_CHECKING:
    from ..config.classes.field_types import register_field_type
    from .entries.entry import Entry, Param, ParamId, trainable
    from .errors import (
        PrecisionError,
        RecordChecksumError,
        RecordError,
        RecordFormatError,
        RecordMismatchError,
        RecordVersionError,
    )
    from .flat_record import FlatRecord
    from .format import Format, WriteOptions
    from .io.remote.url import Url
    from .io.save_handle import SaveHandle
    from .open import Verified, open_record, verify_file
    from .precision import Precision
    from .record import Record
    from .recorder import COMPACT, DEBUG, DEFAULT, Recorder
    from .report import LoadReport
    from .stored_contents import ByteRange, StoredContents
    from .writing.contents import Contents

__all__ = [  # noqa: RUF022  # plainly sorted, as a test of all packages has it
    "ByteRange",
    "COMPACT",
    "Contents",
    "DEBUG",
    "DEFAULT",
    "Entry",
    "FlatRecord",
    "Format",
    "LoadReport",
    "Param",
    "ParamId",
    "Precision",
    "PrecisionError",
    "Record",
    "RecordChecksumError",
    "RecordError",
    "RecordFormatError",
    "RecordMismatchError",
    "RecordVersionError",
    "Recorder",
    "SaveHandle",
    "StoredContents",
    "Url",
    "Verified",
    "WriteOptions",
    "open_record",
    "register_field_type",
    "trainable",
    "verify_file",
]

_MODULES = {
    "entries.entry": ("Entry", "Param", "ParamId", "trainable"),
    ".config.classes.field_types": ("register_field_type",),
    "errors": (
        "PrecisionError",
        "RecordChecksumError",
        "RecordError",
        "RecordFormatError",
        "RecordMismatchError",
        "RecordVersionError",
    ),
    "flat_record": ("FlatRecord",),
    "format": ("Format", "WriteOptions"),
    "io.remote.url": ("Url",),
    "io.save_handle": ("SaveHandle",),
    "open": ("Verified", "open_record", "verify_file"),
    "precision": ("Precision",),
    "record": ("Record",),
    "recorder": ("COMPACT", "DEBUG", "DEFAULT", "Recorder"),
    "report": ("LoadReport",),
    "stored_contents": ("ByteRange", "StoredContents"),
    "writing.contents": ("Contents",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


__getattr__, __dir__ = lazily(__name__, _HOME)
