"""Draws that wait like initializers: a parameter is often made of random numbers."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .build import UnfilledBuild
from .tensor_functions import Function


class NotedDraws(TorchFunctionMode):
    """Note what ``torch.randn`` and ``torch.rand`` would draw while a module is built.

    Every call of torch passes here, which takes time: it is for modules that are known
    to draw.
    """

    def __init__(self, build: UnfilledBuild) -> None:
        super().__init__()
        self._build = build

    def __torch_function__(
        self,
        func: Function,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Return memory that waits for the draw, or what ``func`` returns."""
        kwargs = kwargs or {}
        fill = _FILLS.get(func)
        # Any other keyword (a generator, `out`, a layout) makes it another call than
        # the initializer that would stand for it, so it is made at once.
        if fill is not None and kwargs.keys() <= {"size", "dtype", "device"}:
            tensor = self._build.defer_draw(torch.empty(*args, **kwargs), fill)
            if tensor is not None:
                return tensor
        return func(*args, **kwargs)


_FILLS: dict[Function, Function] = {
    torch.randn: torch.Tensor.normal_,
    torch.rand: torch.Tensor.uniform_,
}
