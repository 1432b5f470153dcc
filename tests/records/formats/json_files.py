"""Records saved as JSON, and how they are compared."""

from collections.abc import Callable
from typing import Any

import torch

from burnish.records import (
    Record,
)
from burnish.records.recorder import Recorder

Same = Callable[[torch.Tensor, torch.Tensor], bool]


Tensors = dict[str, torch.Tensor]


JSON = Recorder("json")


def saved(tensors: Tensors, **metadata: Any) -> bytes:
    return JSON.dumps(Record.from_state_dict(tensors), metadata=metadata)
