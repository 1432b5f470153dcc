"""The tree that constructors make, found by running them on unfilled parameters."""

import itertools
from collections.abc import Sequence

from torch import nn

from ..hyperparameters.signature import spread
from ..state.uninitialized import skip_init
from . import generators
from .entry import Entry
from .errors import (
    BlueprintError,
    ConstructionError,
    NotRepeatedError,
    WrongArgumentsError,
)
from .made import Made
from .run import Constructions, Run
from .targets import Plans
from .watching import telling, watched

_ROUNDS = 24
"""Settings of what other settings make need a run each; more is no settling."""

_seeds = itertools.count(1)


def settled(
    expected: Made, entries: Sequence[Entry], known: set[type[nn.Module]]
) -> Made:
    """Return what ``expected`` is made into, with ``entries`` applied where it ends.

    The constructors run until what was changed is what should be; classes that they
    call are added to ``known``. Raises `ConstructionError` with the path.
    """
    plans, n_rounds = Plans(entries), 0
    _replan(expected, plans)
    while n_rounds < _ROUNDS:
        run, watching = Run(expected), Constructions(is_described=True)
        try:
            with generators.forked(next(_seeds)), skip_init(), telling(watching):
                module = constructed(watching, run, known)
        except BlueprintError:
            # Of a class that was not watched nothing could be changed or completed.
            if watching.unknown <= known:
                raise
            known |= watching.seen | watching.unknown
            continue
        # The marks stay: should a later run meet one of these, it was kept somewhere.
        run.place(module, watching.first)
        found = run.root
        # Modules and iterators among them were described; these can be passed again.
        found.given = expected.given
        is_known = watching.unknown <= known
        known |= watching.seen | watching.unknown
        if not _replan(found, plans) and is_known:
            return found
        expected = found
        n_rounds += is_known
    raise NotRepeatedError(
        expected.path, f"{expected.asked.__qualname__} makes something else each time."
    )


def constructed(
    watching: Constructions, run: Run, known: set[type[nn.Module]]
) -> nn.Module:
    """Return the module that the root of ``run`` makes; raise with the path."""
    expected = run.expected
    args, kwargs = spread(expected.asked, expected.given)
    try:
        with watched({expected.asked, *known}):
            return watching.within(run, lambda: expected.asked(*args, **kwargs))
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
