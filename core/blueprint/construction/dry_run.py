"""The tree that constructors make, found by running them on unfilled parameters."""

import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn

from ....config.interrupts import call_with_end
from ....config.shown import shown
from ....records.grad_mode import grad_mode_after_errors
from ...modules.classes import torch_classes
from ...modules.signature import spread
from ...state.streams import Streams
from ...state.uninitialized import call_filled, call_unfilled
from ..edits.edits import Entry, Setting, replaced
from ..errors import (
    BlueprintError,
    ConstructionError,
    NotRepeatedError,
    WrongArgumentsError,
)
from ..tree.arguments import Arguments, Folded, check, fold_made
from ..tree.construction_node import Made, described, difference, is_repeatable
from ..tree.edit_log import Plans
from ..tree.infer_sizes import missing_sizes, stand_ins
from ..tree.module_values import resolved
from .construction_run import Constructions, Run
from .init_hooks import call_telling, call_watched

T = TypeVar("T")

_ROUNDS = 24
"""Settings of what other settings make need a run each; more is no settling."""

_DISCOVERIES = 100
"""Runs that meet classes for the first time, whether or not anything settles."""

_SAME_NAME = 4
"""Runs in which a class of one name may be new; more, and each run makes its own."""

_seeds = itertools.count(1)

_Building: TypeAlias = Callable[[Callable[[], Any]], Any]
"""Whether initializers wait or run while constructors do."""


def settled(
    expected: Made, entries: Sequence[Entry], known: set[type[nn.Module]]
) -> Made:
    """Return what ``expected`` is made into, with ``entries`` applied where it ends.

    The constructors run until what was changed is what should be; classes that they
    call are added to ``known``. Raises `ConstructionError` with the path.
    """
    plans, n_rounds = Plans(entries), 0
    discoveries = _Discoveries(expected)
    building: _Building = call_unfilled
    _replan(expected, plans)
    while n_rounds < _ROUNDS:
        watching = Constructions(is_described=True)
        try:
            found, has_drawn = _declared(expected, watching, known, building)
        except BlueprintError as error:
            # Of a class that was not watched nothing could be changed or completed.
            if watching.unknown <= known:
                if building is call_filled or not isinstance(error, ConstructionError):
                    raise
                # Code past Python finds values only where initializers have run.
                building = call_filled
                continue
            discoveries.add(watching.unknown - known)
            known |= watching.seen | watching.unknown
            continue
        is_known = watching.unknown <= known
        discoveries.add(watching.unknown - known)
        known |= watching.seen | watching.unknown
        if not _replan(found, plans) and is_known:
            if has_drawn:
                _check_chance(found, known, building)
            return found
        expected = found
        n_rounds += is_known
    raise NotRepeatedError(
        expected.path, f"{expected.asked.__qualname__} makes something else each time."
    )


def _declared(
    expected: Made,
    watching: Constructions,
    known: set[type[nn.Module]],
    building: _Building,
) -> tuple[Made, bool]:
    """Return what one run makes, and whether Python or numpy drew numbers for it."""
    run = Run(expected)

    def construct() -> tuple[nn.Module, bool]:
        before = drawn_so_far()
        module = constructed(watching, run, known)
        return module, drawn_so_far() != before

    module, has_drawn = call_forked(
        next(_seeds), lambda: building(lambda: call_telling(watching, construct))
    )
    # The marks stay: should a later run meet one of these, it was kept somewhere.
    run.place(module, watching.first)
    found = run.root
    # Modules and iterators among them were described; these can be passed again.
    found.given = expected.given
    return found, has_drawn


def _check_chance(
    first: Made, known: set[type[nn.Module]], building: _Building
) -> None:
    """Raise `NotRepeatedError` if other numbers make another tree of ``first``."""
    watching = Constructions(is_described=True)
    second, _ = _declared(first, watching, known, building)
    problem = difference(first, second) or _other_arguments(first, second)
    if problem is not None:
        raise NotRepeatedError(
            problem[0],
            f"the constructors depend on chance: {problem[1]}. Draw outside of them, "
            "and pass what was drawn.",
        )


def _other_arguments(first: Made, second: Made) -> tuple[str, str] | None:
    for old, new in zip(first.walk(), second.walk(), strict=True):
        for name, value in old.arguments.items():
            other = new.arguments.get(name)
            if type(other) is not type(value) or repr(other) != repr(value):
                told = f"{name} was {shown(value)} the first time, {shown(other)} then"
                return old.path, told
    return None


class _Discoveries:
    """The classes that runs met for the first time, so that they come to an end."""

    def __init__(self, root: Made) -> None:
        self.root, self.n_runs = root, 0
        self.names: Counter[str] = Counter()

    def add(self, classes: set[type[nn.Module]]) -> None:
        """Take note of one run's; raise if every run makes classes of its own."""
        if not classes:
            return
        names = {f"{cls.__module__}.{cls.__qualname__}" for cls in classes}
        self.names.update(names)
        self.n_runs += 1
        name, n_times = self.names.most_common(1)[0]
        if n_times > _SAME_NAME or self.n_runs > _DISCOVERIES:
            raise NotRepeatedError(
                self.root.path,
                f"{self.root.asked.__qualname__} makes a new class in each run, such "
                f"as {name}. Make the class once, outside of the constructor.",
            )


def constructed(
    watching: Constructions, run: Run, known: set[type[nn.Module]]
) -> nn.Module:
    """Return the module that the root of ``run`` makes; raise with the path."""
    expected = run.expected
    args, kwargs = spread(expected.asked, expected.given)
    try:
        with grad_mode_after_errors():
            return call_watched(
                {expected.asked, *known},
                lambda: watching.within(run, lambda: expected.asked(*args, **kwargs)),
            )
    except BlueprintError as error:
        if error.path or not watching.failed:
            raise
        raise type(error)(_where(watching), error.message) from error
    except Exception as error:
        cls = watching.failed[-1].made.asked if watching.failed else expected.asked
        raise failure(_where(watching), cls, error) from error


def failure(path: str, cls: type[nn.Module], error: Exception) -> ConstructionError:
    """Return what to raise for a constructor of ``cls`` that raised ``error``."""
    kind = WrongArgumentsError if isinstance(error, TypeError) else ConstructionError
    said = f"{type(error).__name__}: {error}"
    return kind(path, f"the constructor of {cls.__qualname__} raised {said}")


def _replan(root: Made, plans: Plans) -> bool:
    """Plan every construction anew; return whether any plan changed."""
    changed = False
    for made in root.walk():
        wanted = plans.of(made)
        changed = changed or wanted != made.plan
        made.plan = wanted
    return changed


def _where(watching: Constructions) -> str:
    """Return the path of the constructor that raised, or the nearest known one."""
    path, unknown = "", list[str]()
    for frame in watching.failed:
        if frame.expected is not None and frame.expected.paths:
            path, unknown = frame.expected.path, []
        else:
            unknown.append(frame.made.asked.__qualname__)
    return " > ".join(filter(None, [path, *unknown]))


def call_forked(seed: int, function: Callable[[], T]) -> T:
    """Call ``function`` with generators seeded anew, and leave them as they were.

    With another ``seed`` each time, constructors that depend on chance show it.
    """
    before = Streams()

    def run() -> T:
        random.seed(seed)
        numpy: Any = sys.modules.get("numpy.random")
        if numpy is not None:
            numpy.seed(seed)
        torch.default_generator.manual_seed(seed)
        return function()

    return call_with_end(run, before.restore)


def drawn_so_far() -> tuple[Any, ...]:
    """Return what differs once Python or numpy has drawn a number.

    Torch's draws are left out: values of buffers come from them, and may.
    """
    numpy: Any = sys.modules.get("numpy.random")
    state = () if numpy is None else numpy.get_state()
    return (
        random.getstate(),
        tuple(map(str, state[2:])),
        bytes(state[1] if state else b""),
    )


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
