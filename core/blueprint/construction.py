"""From a draft to a module, each constructor run once."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..state.places import places_of
from ..state.streams import Streams
from .arguments import missing
from .completing import completed, not_told
from .declaring import constructed
from .draft import Draft, missing_of
from .entry import Call, Entry, Setting, Tap
from .errors import BlueprintError, NotRepeatedError, SettingError
from .made import Made, difference
from .run import Constructions, Run, constructions
from .taps import Logs, attach
from .targets import Plans
from .watching import call_telling


def construct(
    draft: Draft, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[nn.Module, list[Setting]]:
    """Return a module of ``draft``, and the sizes that the example told.

    Its calls after building have run.
    Inside the constructor of another blueprint that is building, the module is a part
    of that one, whose settings win.
    """
    _check_complete(draft)
    outer = constructions()
    if outer is not None or missing_of(draft):
        draft.refresh()
    # Sizes of a part may be told by the whole, or by the example of the whole.
    has_sizes = outer is None or bool(args) or bool(kwargs)
    sizes = _sizes(draft, args, kwargs) if has_sizes else []
    expected = _planned(draft, sizes) if sizes else draft.tree
    if outer is not None:
        module, tree = _part(outer, expected, draft)
        logs = outer.logs
    else:
        module, tree, logs = _whole(draft, expected)
    _finish(draft, module, tree, logs)
    return module, sizes


def _check_complete(draft: Draft) -> None:
    if draft.is_complete:
        return
    tree = draft.tree
    names = missing(tree.cls, tree.arguments)
    raise SettingError(
        "",
        f"{tree.cls.__qualname__} needs {', '.join(names)}: "
        f"configure({names[0]}=...) first.",
    )


def _sizes(
    draft: Draft, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[Setting]:
    """Return the sizes that were left out, as the example tells them."""
    left = missing_of(draft)
    if left and not args and not kwargs:
        raise not_told(left, "nothing tells what they are")
    return completed(draft, args, kwargs) if left else []


def _planned(draft: Draft, sizes: Sequence[Entry]) -> Made:
    """Return what to construct, ``sizes`` included."""
    tree, plans = draft.tree.copy(), Plans([*draft.entries, *sizes])
    for made in tree.walk():
        made.plan = plans.of(made)
    return tree


def _part(outer: Constructions, expected: Made, draft: Draft) -> tuple[nn.Module, Made]:
    run = Run(expected)
    module = constructed(outer, run, draft.known)
    run.place(module, outer.first)
    _check_repeated(difference(expected, run.root))
    return module, run.root


def _whole(draft: Draft, expected: Made) -> tuple[nn.Module, Made, Logs]:
    """Construct; where makers may see changed parts, look whether it came out right."""
    if not draft.is_stale:
        return _once(draft, expected)
    before = Streams()
    try:
        return _once(draft, expected)
    except BlueprintError:
        before.restore()
        draft.refresh()
        return _once(draft, draft.tree)


def _once(draft: Draft, expected: Made) -> tuple[nn.Module, Made, Logs]:
    run, watching = Run(expected), Constructions(is_described=False)
    module = call_telling(watching, lambda: constructed(watching, run, draft.known))
    run.place(module, watching.first)
    watching.unmark(module)
    _check_repeated(difference(expected, run.root))
    if watching.unknown:
        names = ", ".join(cls.__qualname__ for cls in watching.unknown)
        _check_repeated(("", f"{names} was made only the second time"))
    return module, run.root, watching.logs


def _check_repeated(problem: tuple[str, str] | None) -> None:
    if problem is not None:
        raise NotRepeatedError(
            problem[0],
            f"the constructors do not repeat: {problem[1]}. A constructor must do the "
            "same each time it gets the same arguments: keep chance, counters and "
            "modules made earlier out of it.",
        )


def _finish(draft: Draft, module: nn.Module, tree: Made, logs: Logs) -> None:
    """Attach what was asked for on the built module, then make the calls."""
    later = [e for e in draft.entries if _is_later(e)]
    if not later and not logs.is_used:
        return
    plans, parts = Plans(later), _parts(module, tree)
    concerned = [(part, e) for made, part in parts for e in plans.of(made)]
    taps = [(part, entry) for part, entry in concerned if isinstance(entry, Tap)]
    attach(module, taps, logs)
    for entry in later:
        for part, concerns in concerned:
            if concerns is entry and isinstance(entry, Call):
                entry.function(part, *entry.args, **entry.kwargs)


def _is_later(entry: Entry) -> bool:
    return isinstance(entry, Tap) or (
        isinstance(entry, Call) and entry.moment == "after_build"
    )


def _parts(module: nn.Module, tree: Made) -> Sequence[tuple[Made, nn.Module]]:
    """Return the modules of all constructions that ended somewhere, copies too."""
    places = {path[:-1]: part for path, part in places_of(module)}
    found: list[tuple[Made, nn.Module]] = []
    for made in tree.walk():
        at = made.paths if made.is_copied else made.paths[:1]
        found += [(made, places[path]) for path in at]
    return found
