"""Recorder: writes records in one format, and reads them back from it."""

from dataclasses import dataclass

from .errors import RecordFormatError
from .flat_record import FlatRecord
from .open import open_record
from .readable import Readable
from .record_writer import RecordWriter


@dataclass(frozen=True, slots=True)
class Recorder(RecordWriter):
    """How records become bytes, and bytes become records again."""

    def load(self, file: Readable) -> FlatRecord:
        """Return the record in ``file``, lazily, with whatever compression it has.

        `RecordFormatError` for another format than the recorder's: `open_record` reads
        any.
        """
        record = open_record(file)
        content = record.reading.format
        if content and content.removesuffix(".zst") != self.format.removesuffix(".zst"):
            record.close()
            raise RecordFormatError(
                record.reading.file,
                f"content in the format {content}",
                f"{self.format}, as the recorder has it",
                "Open it with open_record, or with a recorder of its format.",
            )
        return record

    def loads(self, data: bytes) -> FlatRecord:
        """Return the record in ``data`` as `load` does."""
        return self.load(data)


DEFAULT = Recorder()
"""MessagePack, with every value unchanged."""
COMPACT = Recorder(compression="zst", precision="half")
"""Compressed MessagePack with parameters in half precision."""
DEBUG = Recorder(format="json")
"""JSON for human readers."""
