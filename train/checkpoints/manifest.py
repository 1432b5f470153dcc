"""checkpoint.json: the content of a checkpoint's folder, for users and programs."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import xxhash

from ...config.storage.file_names import is_file_name
from ...records.errors import RecordFormatError, RecordVersionError
from ...records.io.remote.stored_folder import read_place, write_place
from ...records.io.remote.url import Place

FILE = "checkpoint.json"

VERSION = 1
"""Version of the manifest; a newer one is refused."""

_MOST_BYTES = 64 << 20

_CHECKSUM = "checksum"
"""The key of the checksum that detects flipped bits; older manifests have none."""

Ties: TypeAlias = Mapping[str, tuple[str, str]]
"""For each path of a shared tensor: another part, and the path there."""


class PartRow(NamedTuple):
    """A manifest's entry for one part."""

    file: str
    """The name of its record, in the folder."""
    kind: str
    digest: str | None = None
    """Digest of the saved record; None in manifests that are older than digests."""
    left_out: frozenset[str] = frozenset()
    """Paths of a module's tensors that were excluded from the save."""
    ties: Ties = MappingProxyType({})
    """The tensors that it shared with other parts."""

    @classmethod
    def of(cls, part: Any) -> "PartRow":
        """Return the JSON of a file. Raises its own error for other content."""
        return cls(
            _name_in_folder(part["file"]),
            str(part["kind"]),
            _digest(part),
            frozenset(map(str, part.get("left_out", ()))),
            {
                str(path): (str(name), str(place))
                for path, (name, place) in dict(part.get("ties", {})).items()
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of a checkpoint besides its records."""

    step: int
    values: dict[str, int | float]
    """The numbers that were saved with it: metrics, counters."""
    parts: dict[str, PartRow]
    info: dict[str, Any] = field(default_factory=dict[str, Any])
    """JSON-ready data, in a readable form."""

    def write(self, folder: Place) -> None:
        """Write the manifest into ``folder``."""
        tree: dict[str, Any] = {
            "burnish": VERSION,
            "step": self.step,
            "values": {
                name: json_number(number) for name, number in self.values.items()
            },
            "parts": {
                name: {
                    "file": row.file,
                    "kind": row.kind,
                    **({"digest": row.digest} if row.digest else {}),
                    **({"left_out": sorted(row.left_out)} if row.left_out else {}),
                    **({"ties": dict(row.ties)} if row.ties else {}),
                }
                for name, row in self.parts.items()
            },
            **({"info": self.info} if self.info else {}),
        }
        # As it is read back, with strings as keys.
        tree[_CHECKSUM] = _checksum(json.loads(json.dumps(tree, allow_nan=False)))
        text = json.dumps(tree, indent=2, ensure_ascii=False)
        write_place(folder / FILE, text + "\n")

    def check_step(self, number: int, folder: Place) -> None:
        """Raise RecordFormatError if ``folder``, named by ``number``, holds another."""
        if self.step != number:
            raise RecordFormatError(
                str(folder / FILE),
                f"the manifest of step {self.step}",
                f"that of step {number}, as the folder is named",
                "Restore an older step, or a copy of the folder.",
            )

    @property
    def fingerprint(self) -> str:
        """Identifies the checkpoint: its step, and the content of its parts."""
        digests = sorted((name, row.digest) for name, row in self.parts.items())
        return xxhash.xxh3_64_hexdigest(json.dumps([self.step, digests]).encode())

    @classmethod
    def read(cls, folder: Place) -> "Manifest":
        """Return the manifest in ``folder``. Raises `RecordError` for a damaged one."""
        file = folder / FILE
        return cls.of(read_place(file, _MOST_BYTES)[:_MOST_BYTES], str(file))

    @classmethod
    def of(cls, content: bytes, file: str) -> "Manifest":
        """Return the manifest in the content of ``file``; raises as `read` does."""
        try:
            tree = json.loads(content)
            version = tree["burnish"]
            if type(version) is not int or version > VERSION:
                raise RecordVersionError(file, version, VERSION, "the checkpoint")
            if _CHECKSUM in tree and tree.pop(_CHECKSUM) != _checksum(tree):
                raise RecordFormatError(
                    file,
                    "different content than what was written",
                    f"that of its {_CHECKSUM!r}",
                    "Restore an older step, or a copy of the folder. If you changed it "
                    f"on purpose, remove {_CHECKSUM!r} and its value.",
                )
            return cls(
                step=_step(tree["step"]),
                values={str(n): _number(v) for n, v in dict(tree["values"]).items()},
                parts={
                    str(name): PartRow.of(part)
                    for name, part in dict(tree["parts"]).items()
                },
                info=dict(tree.get("info", {})),
            )
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ) as error:
            raise RecordFormatError(
                file,
                f"a manifest that cannot be read ({error!r:.200})",
                "the one that was saved",
                "Restore an older step, or a copy of the folder.",
            ) from error


def files_in(content: bytes) -> list[str]:
    """Return the files that the manifest of this content names."""
    return [row.file for row in Manifest.of(content, FILE).parts.values()]


def _checksum(tree: dict[str, Any]) -> str:
    """Return the checksum of the values in ``tree``, regardless of the text's layout.

    Digests are left out: each is checked by itself, and may be removed.
    """
    parts = {
        name: {key: value for key, value in row.items() if key != "digest"}
        for name, row in tree["parts"].items()
    }
    text = json.dumps({**tree, "parts": parts}, sort_keys=True)
    return xxhash.xxh3_64_hexdigest(text.encode())


def _name_in_folder(file: object) -> str:
    """Return the name of a file in the folder itself."""
    if not is_file_name(file):
        raise ValueError(f"{file!r:.80} is not the name of a file in the folder")
    return file


def _step(step: object) -> int:
    """Return the number of a step, which must be an exact integer."""
    if isinstance(step, bool) or not isinstance(step, int):
        raise ValueError(f"the step {step!r:.60} is not an integer")
    return step


def _digest(part: dict[str, Any]) -> str | None:
    if "digest" not in part:
        return None
    if not isinstance(part["digest"], str):
        raise ValueError(f"the digest {part['digest']!r:.60} is not a string")
    return part["digest"]


def json_number(number: float) -> int | float | str:
    """Return a number as JSON data, which has no NaN and no infinities."""
    return number if math.isfinite(number) else repr(float(number))


def _number(value: object) -> int | float:
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    return value
