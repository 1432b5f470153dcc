"""Checkpoint: one saved point of a run, to inspect or to restore from."""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import nn

from ...config.process.interrupts import leaving_nothing_open, raise_of_signal
from ...config.process.transaction import Transaction, all_or_nothing
from ...config.process.user_warning import warn_user
from ...config.short_text import with_article
from ...config.spelling import did_you_mean
from ...records.calls import explain_calls, home_of
from ...records.errors import RecordError, RecordFormatError, RecordMismatchError
from ...records.flat_record import FlatRecord
from ...records.format_names import format_of_suffix
from ...records.io.progress import Progress, progress_below
from ...records.io.remote.address import is_taken
from ...records.io.remote.url import Place, Url, path_or_url
from ...records.io.save_handle import SaveHandle, SnapshotReport
from ...records.open import digest_of, open_record, verify_file
from ...records.processes.agreement import agreed
from ...records.sharded.shard_index import INDEX
from ...records.writing.lazy_snapshot import settle_snapshots
from ..plain_records import value_of
from .distributed import check_same_checkpoint
from .manifest import FILE, Manifest, PartRow
from .part import MODULE, VALUE, PartRecord, SavePart
from .part_kinds import (
    are_restored_together,
    fill,
    modules_in,
    other_flags,
    part_of,
    refused,
    shared_names,
)
from .shared_checkpoint import with_own_shares
from .tied_parts import check_tied_modules, no_longer_stepped, untied

RNG = "rng"
"""The part name of the random generators."""

Number = int | float


@dataclass(frozen=True, slots=True)
class Checkpoint(os.PathLike[str]):
    """A folder with one record per part; ``checkpoint["model"]`` opens a part."""

    folder: Place
    source: Manifest | SaveHandle[Manifest]
    """The manifest, or the save in progress that will provide it."""

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Checkpoint":
        """Return the checkpoint in ``folder``; FileNotFoundError if there is none."""
        # An absolute path, since parts are opened later, after a possible chdir.
        path = path_or_url(folder)
        return cls(path, Manifest.read(path))

    @classmethod
    def write(
        cls,
        folder: Place,
        step: int,
        parts: Iterable[PartRecord],
        values: Mapping[str, Number],
        *,
        info: Mapping[str, Any] | None = None,
        save: SavePart | None = None,
        progress: Progress | None = None,
        written: Mapping[str, PartRow] | None = None,
    ) -> Manifest:
        """Write one record per part into ``folder``, then the manifest; return it.

        ``save`` writes the record of a part to its file, if not as a whole. Parts in
        ``written`` exist already.
        """
        rows: dict[str, PartRow] = {**(written or {})}
        for part in parts:
            file = folder / part.file
            if save is None:
                part.record.save(file, progress_below(part.name, progress))
            else:
                save(part, file)
            rows[part.name] = PartRow(
                part.file, part.kind, digest_of(file), part.left_out, part.ties
            )
        manifest = Manifest(
            step=step, values=dict(values), parts=rows, info=dict(info or {})
        )
        manifest.write(folder)
        return manifest

    @property
    def manifest(self) -> Manifest:
        """The manifest, once it is written; raises the error of the save."""
        saved = self.source
        return saved if isinstance(saved, Manifest) else saved.wait()

    def wait(self, timeout: float | None = None) -> "Checkpoint":
        """Return this, once it is on the disk, or raise the error of the save.

        TimeoutError after ``timeout`` seconds; the save continues.
        """
        if not isinstance(self.source, Manifest):
            self.source.wait(timeout)
        return self

    def done(self) -> bool:
        """Return whether its save has ended, successfully or not."""
        return isinstance(self.source, Manifest) or self.source.done()

    @property
    def report(self) -> SnapshotReport | None:
        """What its save copied and how long it blocked, if a save has returned this."""
        return None if isinstance(self.source, Manifest) else self.source.report

    @property
    def step(self) -> int:
        """The step at which it was saved."""
        return self.manifest.step

    @property
    def values(self) -> dict[str, Number]:
        """The numbers that were saved with it."""
        return self.manifest.values

    @property
    def parts(self) -> list[str]:
        """The names of the parts that can be restored."""
        return [*self.manifest.parts]

    def file(self, name: str) -> Place:
        """Return the record file of a part. KeyError if there is no such part.

        If several processes hold the part it is a folder, or at a URL its index.
        """
        if name not in self.manifest.parts:
            hint = did_you_mean(name, self.manifest.parts)
            part_names = ", ".join(self.manifest.parts) or "nothing"
            raise KeyError(
                f"{self.folder} has no part {name!r}; it has {part_names}.{hint}"
            )
        row_file = self.manifest.parts[name].file
        place = self.folder / row_file
        is_folder = isinstance(place, Url) and format_of_suffix(row_file) is None
        return place / INDEX if is_folder else place

    def __getitem__(self, name: str) -> Any:
        """Return a number, plain data, or the record of a part, opened lazily."""
        if name in self.values:
            return self.values[name]
        record = open_part(self, name)
        return value_of(record) if self.manifest.parts[name].kind == VALUE else record

    def __contains__(self, name: object) -> bool:
        return name in self.values or name in self.manifest.parts

    def __iter__(self) -> Iterator[str]:
        return iter([*self.parts, *self.values])

    @explain_calls("checkpoint.restore(dict(model=net){})", "read", is_home=False)
    @leaving_nothing_open
    def restore(
        self,
        parts: Mapping[str, object],
        *,
        hyperparameters: Literal["compare", "ignore"] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Fill all of ``parts``, or raise and leave them exactly as they were.

        All files are read and verified before anything is changed. Without parts a
        TypeError names those that can be restored. ``progress`` is called with (bytes
        done, bytes in total, path) for one part after the other; True: a line on
        stderr.
        """
        if not isinstance(parts, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
            raise TypeError(
                "a checkpoint restores parts by name: checkpoint.restore(dict(model="
                f"net)), got {with_article(type(parts).__name__)} alone"
            )
        if not parts:
            raise nothing_to_restore(self.parts)
        # A load in another thread may write into modules at the same time.
        settle_snapshots()

        def fill_all(transaction: Transaction) -> None:
            records = self._read_parts(parts, hyperparameters, progress)
            self._refuse_one_for_two(parts)
            modules = modules_in(parts)
            check_tied_modules(modules, records, str(self.folder))
            if hyperparameters != "ignore":
                self._refuse_two_for_one(parts)
                self._refuse_another_module(parts, modules, records)
            for name, part in parts.items():
                self._fill(name, part, records[name], transaction, modules)

        if are_restored_together(parts):
            check_same_checkpoint(
                self.manifest,
                str(self.folder),
                parts_in_shares=", ".join(shared_names(parts)) or "none",
            )
            # If it raises on one process, none of them may continue with other values.
            all_or_nothing(lambda transaction: agreed(partial(fill_all, transaction)))
        else:
            all_or_nothing(fill_all)

    def _refuse_one_for_two(self, parts: Mapping[str, object]) -> None:
        """Raise RecordMismatchError if two different parts would fill one object."""
        names: dict[int, str] = {}
        for name, part in parts.items():
            first_name = names.setdefault(id(part), name)
            digests = {self.manifest.parts[n].digest for n in (first_name, name)}
            if len(digests) > 1 and None not in digests:
                raise RecordMismatchError(
                    str(self.folder),
                    [
                        f"{first_name} and {name}: they were saved with "
                        f"different content, but the same {type(part).__name__} "
                        "was passed for both"
                    ],
                    "Nothing was changed. Pass a separate object for each, or "
                    "restore only one of them.",
                )

    def _refuse_two_for_one(self, parts: Mapping[str, object]) -> None:
        """Raise RecordMismatchError if a tensor that was shared has become two."""
        for name, part in parts.items():
            problem = untied(name, part, self.manifest.parts[name].ties, parts)
            if problem:
                raise RecordMismatchError(
                    str(self.folder),
                    [problem],
                    "Nothing was changed. Build the parts so that they share it "
                    'as they did when saved, or pass hyperparameters="ignore" '
                    "to fill each with the values.",
                )

    def _refuse_another_module(
        self,
        parts: Mapping[str, object],
        modules: Mapping[str, nn.Module],
        records: Mapping[str, FlatRecord],
    ) -> None:
        """Raise RecordMismatchError where an optimizer would step another module."""
        for name, part in parts.items():
            problem = no_longer_stepped(
                name, part, modules, records, partial(self._ids_beside, parts)
            )
            if problem:
                raise RecordMismatchError(
                    str(self.folder),
                    [problem],
                    "Nothing was changed. Bind the optimizer to the module that "
                    'is restored beside it, or pass hyperparameters="ignore" '
                    "if it should step another module.",
                )

    def _ids_beside(self, parts: Mapping[str, object]) -> set[str]:
        """Return the IDs in stored modules that are not among ``parts``."""
        ids = set[str]()
        for name, row in self.manifest.parts.items():
            if row.kind == MODULE and name not in parts:
                with self._open_part(name) as record:
                    ids.update(entry.id for entry in record.entries() if entry.id)
        return ids

    def _read_parts(
        self,
        parts: Mapping[str, object],
        hyperparameters: Literal["compare", "ignore"] | None,
        progress: Progress | None,
    ) -> dict[str, FlatRecord]:
        """Return the records of ``parts``, with everything this process needs read."""
        modules = modules_in(parts)
        records = {
            name: with_own_shares(
                part_of(name, part, modules),
                self._open_part(name, hyperparameters, progress_below(name, progress)),
            )
            for name, part in parts.items()
        }
        # Payloads are read when they are accessed: damage in the last part would be
        # found when the others are already filled.
        for record in records.values():
            record.load_all()
        for name in parts:
            self._check_digest(name)
        return records

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        if not self.done():
            return f"Checkpoint({str(self.folder)!r}: being saved)"
        numbers = "".join(f", {n}={v:.6g}" for n, v in self.values.items())
        return f"Checkpoint({str(self.folder)!r}: {', '.join(self.parts)}{numbers})"

    def _open_part(
        self,
        name: str,
        hyperparameters: Literal["compare", "ignore"] | None = None,
        progress: Progress | None = None,
    ) -> FlatRecord:
        if name not in self.manifest.parts:
            part_names = ", ".join(self.manifest.parts) or "nothing"
            hint = (
                did_you_mean(name, self.manifest.parts)
                or _home(name)
                or self._cure_of_absence(name)
            )
            raise RecordMismatchError(
                str(self.folder),
                [f"{name}: not in the checkpoint, which holds {part_names}.{hint}"],
            )
        try:
            return open_record(
                self.file(name), hyperparameters=hyperparameters, progress=progress
            )
        except FileNotFoundError:
            if not is_taken(self.folder / FILE) or is_taken(self.file(name)):
                raise  # the whole checkpoint was removed or replaced in the meantime
            raise RecordFormatError(
                str(self.folder / FILE),
                f"the part {name!r} in {self.file(name).name}, which is missing",
                "the files that were saved with it",
                "Restore an older step, or a copy of the folder.",
            ) from None

    def _cure_of_absence(self, name: str) -> str:
        """Return advice for a part that was not saved, or was saved as a number."""
        if name == "step":
            return f" The step comes first, without a name: restore({self.step}, ...)."
        if name in self.values:
            return (
                " It is a stored number; read it as "
                f"checkpoints[{self.step}][{name!r}]."
            )
        names = ", ".join(f"restore({n}=...)" for n in [*self.manifest.parts][:2])
        hint = f" Name a part by the keyword it was saved under: {names}."
        return (
            f"{hint if names else ''} To start a part that was not saved from "
            "scratch, restore the others without it."
        )

    def _check_digest(self, name: str) -> None:
        """Raise RecordFormatError if a part's file is intact, but not the saved one."""
        expected, file = self.manifest.parts[name].digest, self.file(name)
        if expected is None or digest_of(file) == expected:
            return
        if Manifest.read(self.folder).fingerprint != self.manifest.fingerprint:
            # The step was saved again since the manifest was read.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
        verify_file(file)
        raise RecordFormatError(
            str(file),
            f"a record of {name!r} that was not saved with step {self.step}",
            f"the one whose digest is in {FILE}",
            "Copy the folder again, or restore another step. If you replaced the file "
            f'on purpose, remove the "digest" of {name!r} from {FILE}.',
        )

    def _fill(
        self,
        name: str,
        part: object,
        record: FlatRecord,
        transaction: Transaction,
        modules: Mapping[str, nn.Module],
    ) -> None:
        file = str(self.file(name))
        try:
            row = self.manifest.parts[name]
            fill(name, part, record, row.kind, transaction, row.left_out, modules)
            if isinstance(part, nn.Module):
                _warn_of_flags(name, part, record)
        except RecordMismatchError as error:
            self._add_cure(error, name)
            raise
        except (RecordError, OSError, MemoryError):
            raise
        except TypeError as error:
            if "cannot be filled in place" in str(error):
                raise
            raise refused(file, name, part, error) from error
        except Exception as error:  # a part's own load_state_dict may raise anything
            raise_of_signal(error)
            raise refused(file, name, part, error) from error

    def _add_cure(self, error: RecordMismatchError, name: str) -> None:
        """Translate advice for loading one file into advice for a restore."""
        if "hyperparameters=" in error.cure:
            error.add_cure(
                "For all parts of a checkpoint: "
                'checkpoints.restore(..., hyperparameters="ignore").'
            )
        if "_record" in error.cure:
            # Only content of a file can be renamed or left out; parts are found by
            # their names.
            error.add_cure(
                f"For the part {name!r}, file is checkpoints[{self.step}]"
                f".file({name!r}); restore the others without it."
            )
        error.add_cure(
            "If these checkpoints belong to another run, use another folder for yours."
        )


def open_part(checkpoint: Checkpoint, name: str) -> FlatRecord:
    """Return the record of a part, also of plain data; KeyError as for `file`."""
    record = open_record(checkpoint.file(name))
    checkpoint._check_digest(name)  # pyright: ignore[reportPrivateUsage]  # of this file
    return record


def _home(name: str) -> str:
    """Return advice if ``name`` is an option of reading rather than a part."""
    home = home_of(name, "burnish.load_record(model, file{})", "read")
    if home is None:
        return ""
    where = " The file is checkpoints[step].file('model')." * ("open_record" in home)
    return f" {home}{where}"


def _warn_of_flags(name: str, module: nn.Module, record: FlatRecord) -> None:
    """Warn of layers that the saved run did not train and this one does, or vice versa.

    The program freezes its modules itself, so that a restore does not.
    """
    for path, was_trained in other_flags(module, record).items():
        was, now = ("trained", "frozen") if was_trained else ("frozen", "trained")
        warn_user(
            f"{name}.{path} was {was} when the checkpoint was saved, and is {now} now; "
            "to continue as before, set its requires_grad before the next step",
            RuntimeWarning,
        )


def nothing_to_restore(names: Sequence[str]) -> TypeError:
    """Return the error for a restore without parts; ``names`` are the possible ones."""
    objects = [f"{name}={name}" for name in names if name != RNG] or ["net=net"]
    saved = (
        f"The checkpoint has {', '.join(names)}"
        if names
        else "No checkpoint has been saved yet"
    )
    return TypeError(
        "restore fills the objects that are passed to it, and none was passed. "
        f"{saved}. Pass the objects to fill: restore({', '.join(objects)})"
    )
