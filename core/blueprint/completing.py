"""Sizes left out, completed by sending an example through a throw-away module."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ...config.path import join
from ...records.grad_mode import no_grad
from ..hyperparameters.signature import spread
from . import generators
from .arguments import Arguments
from .declaring import constructed
from .draft import Draft, missing_of
from .entry import Setting
from .errors import SettingError
from .made import Made
from .run import MARK, Constructions, Run
from .sizes import read_sizes
from .watching import call_telling


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

    generators.call_forked(0, lambda: call_telling(watching, run_example))
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
