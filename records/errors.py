"""What can be wrong with a stored record.

RecordError
├── RecordFormatError       the bytes are not a file that we read
│   └── ForeignFileError        an intact file of something else, as far as is known
├── RecordVersionError      written by a newer version of the format or of the class
├── RecordMismatchError     the content does not fit what it is loaded into
├── RecordChecksumError     the bytes are not the ones that were written
│   ├── MissingChecksumError    nothing says what was written
│   └── PinnedDigestError       the file is not the one whose SHA-256 was given
└── PrecisionError          a value does not fit the dtype asked for

A wrong argument is a ValueError or a TypeError; a missing file stays an OSError.
"""

from collections.abc import Sequence

TRUNCATED = (
    "The file is truncated: it was cut short while it was written or copied. Copy it "
    "again, or use an older one."
)
"""Advice for a truncated file."""

ADDED = "Data was appended to it: copy the file again."
"""Advice for a file with data after its content."""


class RecordError(Exception):
    """A record cannot be stored or read; nothing was changed."""


class RecordFormatError(RecordError):
    """A file is damaged, hostile, or of another format than its name says."""

    def __init__(
        self, file: str, found: str, expected: str = "", cure: str = ""
    ) -> None:
        super().__init__(file, found, expected, cure)
        self.file, self.found, self.expected, self.cure = file, found, expected, cure

    def __str__(self) -> str:
        expected = f", expected {self.expected}" if self.expected else ""
        cure = f" {self.cure}" if self.cure else ""
        return f"{self.file}: {self.found}{expected}.{cure}"


class ForeignFileError(RecordFormatError):
    """A file has content that we do not read; nothing shows that it is damaged."""


class RecordVersionError(RecordError):
    """A file is newer than the program that reads it."""

    def __init__(self, file: str, found: object, newest: object, what: str) -> None:
        super().__init__(file, found, newest, what)
        self.file, self.found, self.newest, self.what = file, found, newest, what

    def __str__(self) -> str:
        return (
            f"{self.file}: {self.what} is version {self.found}, and the newest that "
            f"this program reads is {self.newest}. Upgrade the program that reads it, "
            "or save the file again with an older version."
        )


class RecordMismatchError(RecordError):
    """Stored entries and their destination differ; the destination is unchanged."""

    def __init__(self, file: str, problems: Sequence[str], cure: str = "") -> None:
        super().__init__(file, tuple(problems), cure)
        self.file, self.problems, self.cure = file, tuple(problems), cure

    def add_cure(self, sentence: str) -> None:
        """Add advice, where the caller knows more than the code that raised it."""
        self.cure = f"{self.cure} {sentence}".lstrip()
        self.args = (self.file, self.problems, self.cure)

    def __str__(self) -> str:
        cure = f"\n{self.cure}" if self.cure else ""
        if len(self.problems) == 1:
            return f"{self.file}: {self.problems[0]}{cure}"
        lines = "".join(f"\n  {problem}" for problem in self.problems[:20])
        n_more = len(self.problems) - 20
        ellipsis = f"\n  and {n_more} more" if n_more > 0 else ""
        return f"{self.file}: {len(self.problems)} problems{lines}{ellipsis}{cure}"


class RecordChecksumError(RecordError):
    """Stored bytes differ from those that were written."""

    def __init__(self, file: str, where: str) -> None:
        super().__init__(file, where)
        self.file, self.where = file, where

    def __str__(self) -> str:
        return (
            f"{self.file}: the bytes of {self.where} are not the ones that were "
            "written (their checksum differs). Copy the file again or use an "
            "older one; burnish.open_record(file, verify=False) reads it anyway."
        )


class MissingChecksumError(RecordChecksumError):
    """A file that had to be verified has no checksum for each of its tensors."""

    def __init__(self, file: str) -> None:
        RecordError.__init__(self, file)
        self.file, self.where = file, "the file"

    def __str__(self) -> str:
        return (
            f"{self.file}: it has no checksums of its tensors, so it cannot be "
            "verified. Save it again as .mpk, .json or .safetensors, or verify it "
            "without strict=True."
        )


class PinnedDigestError(RecordChecksumError):
    """A file does not have the SHA-256 given by the reader; none of it was used."""

    def __init__(self, file: str, sha256: str, expected: str) -> None:
        RecordError.__init__(self, file, sha256, expected)
        self.file, self.where = file, "the file"
        self.sha256, self.expected = sha256, expected

    def __str__(self) -> str:
        return (
            f"{self.file}: its SHA-256 is {self.sha256}, expected "
            f"{self.expected}. It is not the pinned file, and nothing in it was "
            "used. Download the file again, or pin the new digest if the "
            "publisher confirms that the file changed."
        )


class PrecisionError(RecordError):
    """The requested dtype cannot hold a value: too large, or not representable."""

    def __init__(self, path: str, value: float, dtype: str, cure: str) -> None:
        super().__init__(path, value, dtype, cure)
        self.path, self.value, self.dtype, self.cure = path, value, dtype, cure

    def __str__(self) -> str:
        return f"{self.path}: {self.value:g} does not fit {self.dtype}. {self.cure}"
