"""Layers of torch that make no others: changed without their makers, tried alone."""

from typing import Any

from torch import nn

from ..hyperparameters.signature import spread
from ..hyperparameters.torch_layers import torch_classes
from ..state.uninitialized import call_unfilled
from .arguments import Arguments
from .declaring import failure
from .entry import Entry, Setting, replaced
from .folding import Folded, check, fold_made
from .made import Made, described, is_repeatable
from .sizes import missing_sizes, stand_ins
from .values import resolved


class Leaves:
    """Remembers what was tried, so that equal layers are tried once."""

    def __init__(self) -> None:
        self._tried: set[Any] = set()
        self._known: dict[Any, Made] = {}

    def changed(
        self, made: Made, old: dict[int, Entry | None], entry: Setting
    ) -> Made | None:
        """Return how ``made`` is to be, None if that may make others."""
        if made.kids or not is_repeatable(made.given):
            return None
        plan = (*replaced(made.plan, old), entry)
        folded = fold_made(made, plan)
        check(folded, made.path, entry)
        if not self._is_leaf(folded, made.path):
            return None
        changed = made.alone()
        changed.plan, changed.cls = plan, folded.cls
        changed.arguments = described(folded.arguments)
        changed.missing = missing_sizes(folded.cls, folded.arguments)
        key = (made.asked, plan, made.below, _key(made.asked, made.given))
        if key[-1] is not None:
            if len(self._known) > _KEPT:
                self._known.clear()
            return self._known.setdefault(key, changed)
        return changed

    def _is_leaf(self, folded: Folded, path: str) -> bool:
        """Return whether a layer of torch is made, which makes no others; try it."""
        cls = folded.cls
        if cls not in torch_classes() or cls in _MAKERS:
            return False
        key = _key(cls, folded.arguments)
        if key is not None and key in self._tried:
            return True
        arguments = folded.arguments | stand_ins(cls, folded.arguments)
        try:
            args, kwargs = spread(cls, {n: resolved(v) for n, v in arguments.items()})
            call_unfilled(lambda: cls(*args, **kwargs))
        except Exception as error:
            raise failure(path, cls, error) from error
        if len(self._tried) > _KEPT:
            self._tried.clear()
        if key is not None:
            self._tried.add(key)
        return True


def _key(cls: type[nn.Module], arguments: Arguments) -> Any:
    """Return what tells equal constructions apart from others, None if nothing does."""
    key: list[Any] = [cls]
    for name, value in arguments.items():
        kind = type(value)
        if kind in (tuple, list):
            key += (name, kind, repr(value))
        elif value is None or kind in (bool, int, float, str):
            key += (name, kind, value)
        else:
            return None
    return tuple(key)


_KEPT = 1000
"""How many layers are remembered as tried."""

_MAKERS = {
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Module, nn.MultiheadAttention),
    *(nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder),
    *(nn.TransformerEncoderLayer, nn.TransformerDecoderLayer),
    *(nn.AdaptiveLogSoftmaxWithLoss, getattr(nn, "LinearCrossEntropyLoss", nn.Module)),
}
"""Classes of torch whose constructors make modules, or take them."""
