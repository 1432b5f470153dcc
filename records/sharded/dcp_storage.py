"""Storage of `torch.distributed.checkpoint` in folders of records.

``dcp.save(state, storage_writer=RecordStorageWriter(folder),
planner=RecordSavePlanner())``, and `dcp.load` likewise; `dcp.async_save` too. Nothing
is pickled in the files, every byte is checked, and the index is written last.
"""

import dataclasses
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadItemType,
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlanner,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.planner import (
    SavePlan as TorchPlan,
)
from torch.distributed.checkpoint.storage import (
    StorageReader,
    StorageWriter,
    WriteResult,
)
from torch.futures import Future

from ..entries.entries import Entries, library_part
from ..entries.entry import Entry
from ..errors import PrecisionError, RecordMismatchError
from ..format import format_named, read_record
from ..io.source import Maps
from ..record_writer import LIBRARY
from ..tensors.conversion import convert, misfit_of_dtype
from .dcp_planners import (
    RecordLoadPlanner,
    RecordSavePlanner,
    as_bytes,
    as_written,
)
from .layout import Chunk, Rectangle, full_rectangle
from .part_files import name_in_part
from .pieces import PiecewisePayload
from .remote_folder import AnyRecordFolder, record_folder
from .save_plan import SavePlan
from .saving import check_parts, part_file, write_index
from .shard_index import IN_CHUNKS, INDEX, PartFile, ShardIndex, new_save_id, part_name

T = TypeVar("T")

OBJECTS = "objects"
"""The key of our metadata for the paths of values other than tensors."""

_PLANNER = "planner"
"""The key for what torch's planner knows about the nesting of the state dict."""


class RecordStorageWriter(StorageWriter):
    """Writes a part in each process, and the index in the first when all are there."""

    def __init__(self, path: str | os.PathLike[str] = "") -> None:
        """``path`` is a folder; ``checkpoint_id`` of `dcp.save` may name it as well."""
        super().__init__()
        self._path = os.fspath(path)
        self._save_id = ""
        self._claim = ExitStack()

    def __getstate__(self) -> dict[str, Any]:
        """Return the copy for another process, which makes its own claim."""
        return {**self.__dict__, "_claim": ExitStack()}

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin a new save; one that failed halfway has ended by now."""
        self._claim.close()
        if checkpoint_id is not None:
            self._path = os.fspath(checkpoint_id)

    def set_up_storage_writer(
        self, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Do nothing: every process writes in the same way."""

    def prepare_local_plan(self, plan: TorchPlan) -> TorchPlan:
        """Return the plan unchanged."""
        return plan

    def prepare_global_plan(self, plans: list[TorchPlan]) -> list[TorchPlan]:
        """Create the folder, and name the part of each process."""
        self._folder.make()
        self._save_id = new_save_id()
        # Other saves to this folder remove the parts of finished ones.
        self._claim.close()
        self._claim.enter_context(self._folder.claim(self._save_id))
        return [
            dataclasses.replace(
                plan, storage_data=part_name(i, len(plans), self._save_id)
            )
            for i, plan in enumerate(plans)
        ]

    def write_data(
        self, plan: TorchPlan, planner: SavePlanner
    ) -> Future[list[WriteResult]]:
        """Write this process's part."""
        name: str = plan.storage_data
        if self._folder.size(name) is not None:
            # An index may name it: writing it again would damage existing data.
            raise ValueError(
                f"{self._folder.file(name)} already exists: the planner returned the "
                "plan of an earlier save. Pass dcp.save(..., planner="
                "burnish.records.sharded.RecordSavePlanner(...)), which may cache plans"
            )
        numbers = Counter[str]()
        entries: list[Entry] = []
        places: list[int] = []
        for item in plan.items:
            path = item.index.fqn
            tensor = _data_of(item, planner)
            entry_name = name_in_part(path, numbers[path])
            shape = tuple(tensor.shape)
            entries.append(Entry(entry_name, "tensor", tensor.dtype, shape, tensor))
            places.append(numbers[path])
            numbers[path] += 1
        part = self._write_part(name, entries) if entries else None
        results = [
            WriteResult(item.index, entry.nbytes, (part, number, _is_object(item)))
            for item, entry, number in zip(plan.items, entries, places, strict=True)
        ]
        return _finished_future(results)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Write the index, and remove parts of older saves."""
        with self._claim:
            self._finish(metadata, results)

    def _finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        index, rows = ShardIndex([]), _Rows(metadata)
        for number, of_process in enumerate(results):
            part: PartFile | None = None
            for result in of_process:
                part, copy, is_object = result.storage_data
                rows.add(result, number, copy, is_object)
            index.parts.append(None if part is None else PartFile(*part))
        entries = rows.entries_for(index)
        ours = {"library": LIBRARY, "type": "state dict", OBJECTS: rows.objects}
        mappings = metadata.planner_data or {}
        about = {
            "burnish": ours,
            _PLANNER: [[name, [*path]] for name, path in mappings.items()],
        }
        record = Entries.of(entries, metadata=about, type_name="state dict")
        folder = self._folder
        try:
            check_parts(index.parts, folder)
            write_index(as_written(record), SavePlan(index), folder)
        except BaseException:
            folder.remove_parts(index.parts)
            raise
        folder.remove_old(self._save_id)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Return True: any name is a folder of this machine, or a URL."""
        return True

    def storage_meta(self) -> StorageMeta | None:
        """Return nothing: the index has everything."""
        return None

    @property
    def _folder(self) -> AnyRecordFolder:
        if not self._path:
            raise ValueError(
                "no folder to write to: RecordStorageWriter('folder'), or "
                "dcp.save(..., checkpoint_id='folder')"
            )
        return record_folder(self._path)

    def _write_part(self, name: str, entries: list[Entry]) -> PartFile:
        about = {"burnish": {"type": "part"}}
        record = Entries.of(entries, metadata=about, type_name="part")
        folder = self._folder
        as_written(record).save(folder.file(name))
        return part_file(folder, name)


class RecordStorageReader(StorageReader):
    """Reads what this process needs, and verifies it while torch plans the load.

    So damage found by one process stops all before a value changes. The folder may be
    one of `burnish.save_record` as well.
    """

    def __init__(self, path: str | os.PathLike[str] = "") -> None:
        """``path`` is a folder; ``checkpoint_id`` of `dcp.load` may name it as well."""
        super().__init__()
        self._path = os.fspath(path)
        self._record: Entries | None = None
        self._values: list[torch.Tensor] = []

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin a new load."""
        if checkpoint_id is not None:
            self._path = os.fspath(checkpoint_id)
        self._record, self._values = None, []

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the content of the folder, in torch's terms."""
        record = self._opened()
        objects: Sequence[str] = library_part(record.metadata).get(OBJECTS, ())
        rows: dict[str, Any] = {}
        for entry in record.entries():
            is_object = entry.path in objects
            row = BytesStorageMetadata() if is_object else _metadata_of(entry)
            rows.update(dict.fromkeys((entry.path, *entry.ties), row))
        mappings: Any = record.metadata.get(_PLANNER, ())
        return Metadata(rows, planner_data={name: tuple(p) for name, p in mappings})

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Do nothing: every process reads in the same way."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """Read and verify everything in the plan."""
        record, maps = self._opened(), Maps()
        dtypes = plan.planner_data if isinstance(plan.planner_data, Mapping) else {}
        self._values = [
            _converted(
                _values_of(record, item, maps),
                dtypes.get(item.dest_index.fqn),
                item.storage_index.fqn,
            )
            for item in plan.items
        ]
        return dataclasses.replace(plan, storage_data=record.reading.fingerprint)

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Return the plans unchanged; raise if they are of different records."""
        if len({plan.storage_data for plan in plans}) > 1:
            raise RecordMismatchError(
                self._opened().reading.file,
                ["the processes load different records, each its own rows of them"],
                "Nothing was changed. Pass the same folder to all of them, on a "
                "disk or storage that they can all read; if it was saved again "
                "meanwhile, load it again.",
            )
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Give the planner what was read."""
        for item, values in zip(plan.items, self._values, strict=True):
            if item.type == LoadItemType.BYTE_IO:
                if not isinstance(planner, RecordLoadPlanner):
                    raise _other_planner("dcp.load", "RecordLoadPlanner")
                planner.load_bytes(item, io.BytesIO(values.numpy().tobytes()))
                continue
            target = planner.resolve_tensor(item).detach()
            # Planners of other libraries do not state what they have.
            target.copy_(_converted(values, target.dtype, item.storage_index.fqn))
            planner.commit_tensor(item, target)
        self._values = []
        return _finished_future(None)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Return True: any name is a folder of this machine, or a URL."""
        return True

    def _opened(self) -> Entries:
        if self._record is None:
            try:
                source = record_folder(self._path).source(INDEX)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise _no_folder(error, self._path) from error
            self._record = read_record(format_named("mpk"), source)
        return self._record


class _Rows:
    """The index's content about each tensor: its entry, and the parts that hold it."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata: Mapping[str, Any] = metadata.state_dict_metadata
        self._chunks: dict[str, list[Chunk]] = {}
        self._sizes: dict[str, int] = {}
        self.objects: list[str] = []

    def add(self, result: Any, part: int, copy: int, is_object: bool) -> None:
        """Record where a part has what it wrote."""
        path, size = result.index.fqn, result.size_in_bytes
        if is_object:
            self.objects.append(path)
            self._sizes[path] = size
            rectangle = Rectangle((0,), (size,))
        else:
            rectangle = self._rectangle(path, result.index.offset)
        self._chunks.setdefault(path, []).append(Chunk(part, rectangle, copy))

    def _rectangle(self, path: str, offset: Any) -> Rectangle:
        rows = self._metadata[path]
        for chunk in rows.chunks:
            if offset is None or tuple(chunk.offsets) == tuple(offset):
                return Rectangle(tuple(chunk.offsets), tuple(chunk.sizes))
        raise ValueError(f"{path}: nothing was planned at {offset}")

    def entries_for(self, index: ShardIndex) -> list[Entry]:
        """Return the entries of the index, which gets their places."""
        entries: list[Entry] = []
        for row, (path, chunks) in enumerate(self._chunks.items()):
            index.numbers.append(IN_CHUNKS)
            index.chunks[row] = [c for c in chunks if c.rectangle.n_values]
            if path in self._sizes:
                dtype, shape = torch.uint8, (self._sizes[path],)
            else:
                described = self._metadata[path]
                dtype, shape = described.properties.dtype, tuple(described.size)
            blank = torch.empty(shape, dtype=dtype, device="meta")
            entries.append(Entry(path, "tensor", dtype, shape, blank))
        return entries


def _data_of(item: WriteItem, planner: SavePlanner) -> torch.Tensor:
    if not _is_object(item):
        tensor: Any = planner.resolve_data(item)
        values: torch.Tensor = tensor.detach()
        return values
    if not isinstance(planner, RecordSavePlanner):
        raise _other_planner("dcp.save", "RecordSavePlanner")
    return as_bytes(planner.resolve_data(item))


def _is_object(item: WriteItem) -> bool:
    return bool(item.type == WriteItemType.BYTE_IO)


def _other_planner(call: str, name: str) -> TypeError:
    return TypeError(
        f"the state dict has values that are not tensors, which torch's own planner "
        f"pickles; pass {call}(..., planner=burnish.records.sharded.{name}())"
    )


def _metadata_of(entry: Entry) -> TensorStorageMetadata:
    payload = entry.source
    assert isinstance(payload, PiecewisePayload)  # all entries of an index are
    chunks = payload.index.chunks_of(
        payload.row, entry.shape, full_rectangle(entry.shape)
    )
    return TensorStorageMetadata(
        TensorProperties(dtype=entry.dtype),
        torch.Size(entry.shape),
        [
            ChunkStorageMetadata(torch.Size(r.offsets), torch.Size(r.sizes))
            for r in (chunk.rectangle for chunk in chunks)
        ],
    )


def _values_of(record: Entries, item: ReadItem, maps: Maps) -> torch.Tensor:
    entry = record.entry_at(item.storage_index.fqn)
    assert entry is not None  # torch has planned with what `read_metadata` said
    payload = entry.source
    assert isinstance(payload, PiecewisePayload)
    if item.type == LoadItemType.BYTE_IO:
        return payload.load(maps)
    begin: Any = item.storage_index.offset or (0,) * len(entry.shape)
    offsets = tuple(a + b for a, b in zip(begin, item.storage_offsets, strict=True))
    return payload.rectangle(Rectangle(offsets, tuple(item.lengths)), maps)


def _converted(
    values: torch.Tensor, dtype: torch.dtype | None, path: str
) -> torch.Tensor:
    """Return ``values`` as ``dtype``; an error if they are of another kind or range."""
    if dtype is None or values.dtype is dtype:
        return values
    if problem := misfit_of_dtype(values.dtype, dtype):
        raise TypeError(f"{path}: {problem}. Load into a tensor of the stored dtype")
    out = torch.empty(values.shape, dtype=dtype)
    try:
        convert(values.reshape(-1), out.view(-1), path)
    except PrecisionError as error:
        cure = "Load into a tensor of the stored dtype, or of one with its range."
        raise PrecisionError(path, error.value, error.dtype, cure) from None
    return out


def _no_folder(error: OSError, path: str) -> OSError:
    """Return ``error`` with a message about the value at ``path``."""
    if os.path.isfile(path):
        cure = "a file, expected a folder; burnish.load_record(net, file) reads it"
    elif os.path.isfile(os.path.join(path, ".metadata")):
        cure = (
            "a folder of torch's own FileSystemWriter; dcp.load(state, "
            "checkpoint_id=folder) reads it"
        )
    else:
        cure = f"no record, expected a folder with {INDEX}"
    return type(error)(error.errno, cure, path)


def _finished_future(value: T) -> Future[T]:
    future = Future[T]()
    future.set_result(value)
    return future
