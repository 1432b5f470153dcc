"""Records saved in frames, and the content of these."""

import io
from collections.abc import Callable

import torch
import zstandard

from burnish.records import Record
from burnish.records.recorder import Recorder

Same = Callable[[torch.Tensor, torch.Tensor], bool]


Tensors = dict[str, torch.Tensor]


ZST = Recorder("mpk", "zst")


def saved(tensors: Tensors) -> bytes:
    return ZST.dumps(Record.from_state_dict(tensors))


def content_of(data: bytes) -> bytes:
    context = zstandard.ZstdDecompressor()
    return context.stream_reader(io.BytesIO(data), read_across_frames=True).read()
