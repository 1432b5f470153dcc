"""Files that torch wrote."""

import io
from collections import OrderedDict
from typing import Any

import torch


def packed(content: object, **options: Any) -> bytes:
    memory = io.BytesIO()
    torch.save(content, memory, **options)
    return memory.getvalue()


STATE: OrderedDict[str, torch.Tensor] = OrderedDict(
    (("fc.weight", torch.arange(6.0).view(2, 3)), ("fc.bias", torch.ones(2)))
)
