"""What is done with a record that was read: each step works or says why not."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from burnish import from_record, load_record, open_record
from burnish.records import Record, RecordError, verify_file
from burnish.records.flat_record import FlatRecord
from burnish.records.recorder import Recorder


class State(Record):
    """Fields as the files of a typed record have them."""

    t: int
    m: torch.Tensor
    extra: Any = None


class Net(nn.Module):
    """A module with the names of the small file."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Module()
        self.a.w = nn.Parameter(torch.zeros(2, 2))
        self.a.h = nn.Parameter(torch.zeros(3))
        self.register_buffer("flag", torch.zeros(2, dtype=torch.bool))


RECORDERS = (
    Recorder(),
    Recorder("mpk", "zst"),
    Recorder("json"),
    Recorder("json", payload="base64"),
    Recorder("safetensors"),
)


def _saved_again(recorder: Recorder) -> Callable[[FlatRecord], object]:
    def save(record: FlatRecord) -> None:
        try:
            data = recorder.dumps(record)
        except RecordError:
            return
        # What was written is read, whatever the first file said.
        open_record(data).load_all()

    return save


STEPS: tuple[Callable[[FlatRecord], object], ...] = (
    repr,
    lambda r: [(e.nbytes, e.tensor()) for e in r.entries()],
    lambda r: r.select(only="a.**"),
    lambda r: r.select(exclude="**.w"),
    lambda r: r.typed(State).fields(),
    lambda r: r.typed(Record),
    lambda r: r.to_state_dict(),
    lambda r: r.extra(),
    lambda r: [r[path] for path in r],
    lambda r: r.fields(),
    lambda r: load_record(Net(), r, strict=False),
    lambda r: load_record(Net(), r),
    lambda r: from_record(Net, r),
    lambda r: r.clone(),
    *map(_saved_again, RECORDERS),
)


def misuse(data: bytes) -> str | None:
    """Return what a step after reading raised that says nothing, if one did."""
    for step in STEPS:
        try:
            step(open_record(data))
        except (RecordError, ValueError):
            continue
        except Exception as error:  # whatever it is, it is reported
            return f"{type(error).__name__}: {error!s:.200}"
    try:
        verify_file(data)
    except RecordError:
        pass
    except Exception as error:  # as above
        return f"verify_file: {type(error).__name__}: {error!s:.200}"
    return None
