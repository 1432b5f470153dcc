"""From a draft to a module, each constructor run once."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ....config.path import join
from ....records.grad_mode import no_grad
from ...modules.signature import spread
from ...modules.tree import places_of
from ...state.streams import Streams
from ..edits.edits import Call, Entry, Setting, Tap
from ..errors import BlueprintError, NotRepeatedError, SettingError
from ..tree.arguments import Arguments, missing
from ..tree.construction_node import Made, difference
from ..tree.edit_log import Plans
from ..tree.infer_sizes import read_sizes
from .construction_run import MARK, Constructions, Run, constructions
from .draft import Draft, missing_of
from .dry_run import call_forked, constructed
from .forward_hooks import Logs, attach
from .init_hooks import call_telling


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


def completed(
    draft: Draft, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[Setting]:
    """Return a setting for each size that the example tells.

    Raises `SettingError` where a layer is not reached, or the example does not fit.
    """
    run, watching = Run(draft.tree), Constructions(is_described=True)
    found: dict[str, Arguments] = {}

    def run_example() -> None:
        module = constructed(watching, run, draft.known)
        run.place(module, watching.first)
        call_telling(None, lambda: _read(module, run, found, args, kwargs))

    call_forked(0, lambda: call_telling(watching, run_example))
    left = {
        path: names for path, names in missing_of(draft).items() if path not in found
    }
    if left:
        raise not_told(left, "the example does not reach it")
    return [
        Setting(target=path, arguments=sizes, by="the example")
        for path, sizes in found.items()
    ]


def not_told(left: Mapping[str, tuple[str, ...]], why: str) -> SettingError:
    """Return the error for sizes that nothing tells."""
    named = [join(path, name) for path, names in left.items() for name in names]
    return SettingError(
        next(iter(left)),
        f"{', '.join(named[:6])} left out, and {why}. Configure it, or "
        "pass inputs: build(example).",
    )


def _read(
    module: nn.Module,
    run: Run,
    found: dict[str, Arguments],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> None:
    try:
        with no_grad(), _reading(module, run, found):
            module(*args, **kwargs)
    except SettingError:
        raise
    except Exception as error:
        at = type(module).__qualname__
        said = f"{type(error).__name__}: {error}"
        message = f"the example does not pass through {at}: {said}"
        raise SettingError("", message) from error


@contextmanager
def _reading(
    module: nn.Module, run: Run, found: dict[str, Arguments]
) -> Generator[None]:
    """Complete each layer when its first input arrives, and note the sizes."""
    handles: list[Any] = []
    for part in module.modules():
        made = run.by_serial.get(part.__dict__.get(MARK, -1))
        if made is not None and made.missing:
            hook = _Complete(made, found)
            handles.append(part.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Complete:
    def __init__(self, made: Made, found: dict[str, Arguments]) -> None:
        self.made, self.found, self.is_done = made, found, False

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        made = self.made
        tensors = tuple(t for t in inputs if isinstance(t, Tensor))
        if self.is_done or not tensors:
            return
        self.is_done = True
        sizes = read_sizes(made.cls, made.arguments, tensors)
        known = self.found.setdefault(made.path, sizes)
        if known != sizes:
            raise SettingError(
                made.path, f"one layer gets inputs of several sizes: {known}, {sizes}"
            )
        args, kwargs = spread(made.cls, {**made.arguments, **sizes})
        ready = made.cls(*args, **kwargs)
        # The hooks stay: they are running, and one of them is this.
        ours = {n: v for n, v in ready.__dict__.items() if "hook" not in n}
        module.__dict__.update(ours)
