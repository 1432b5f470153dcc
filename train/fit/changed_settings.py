"""The settings of a run that differ from the defaults."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...config.classes.fields import MISSING, fields_of, is_struct_value
from ...config.hparams import Hparams
from ...config.process.interrupts import raise_of_signal
from ...config.short_text import short_repr
from ..hparams import OptimizerHparams
from ..pages.run_page import Setting
from .fit_config import KWARGS, MODEL, SECTIONS, default_numbers, file_tree

_LONGEST = 200
_DRAWN = "drawn again for each run"


def changed_settings(file: Hparams) -> list[Setting]:
    """Return each value of a run's config that differs from its default, by path."""
    tree = file_tree(file)
    optimizer: OptimizerHparams | None = getattr(file[MODEL], "optimizer", None)
    # A run's file also has the defaults of the optimizer's class.
    defaults = {} if optimizer is None else {KWARGS: default_numbers(optimizer)}
    settings: list[Setting] = []
    for name, value in tree.items():
        if name in SECTIONS:
            settings += _of_fields(file[name], value, name, defaults)
        else:
            settings += _of_values(value, MISSING, name)
    return settings


def _of_fields(
    part: Any, tree: Any, path: str, defaults: Mapping[str, Any]
) -> Iterator[Setting]:
    """Yield the differences in a struct, whose plain form is ``tree``.

    ``defaults`` are defaults by path that its classes do not know.
    """
    for name, field in fields_of(type(part)).items():
        if not isinstance(tree, Mapping) or name not in tree:
            continue
        value, place = getattr(part, field.attribute, MISSING), f"{path}.{name}"
        default = defaults.get(place, field.make_default())
        if place not in defaults and not _is_equal(default, field.make_default()):
            default = _DRAWN  # such as a seed
        if value is MISSING or _is_equal(value, default):
            continue
        rows: list[Setting] = []
        if is_struct_value(value):
            # If it is of another class than the default, its own settings are listed.
            rows = [*_of_fields(value, tree[name], place, defaults)]
        yield from rows or _of_values(tree[name], default, place)


def _of_values(value: Any, default: Any, path: str) -> Iterator[Setting]:
    """Yield plain data; for a dict each value that differs."""
    if isinstance(value, Mapping) and value and not is_struct_value(default):
        defaults = default if isinstance(default, Mapping) else {}
        for key, item in value.items():
            before = defaults.get(key, MISSING)
            if not _is_equal(item, before):
                yield from _of_values(item, before, f"{path}.{key}")
        return
    text = "" if default is MISSING else _text(default)
    yield Setting(path=path, value=_text(value), default=text)


def _is_equal(value: Any, default: Any) -> bool:
    try:
        return bool(value == default)
    except (TypeError, ValueError, RuntimeError) as error:
        raise_of_signal(error)
        return False  # as for arrays, which compare element by element


def _text(value: object) -> str:
    return value if isinstance(value, str) else short_repr(value, _LONGEST)
