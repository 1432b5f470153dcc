"""Configurations in files and strings: `load` and `dump`, `loads` and `dumps`."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, overload

from .arguments import check_flag
from .classes.field_types import Ctx
from .encode import encode
from .errors import ConfigError, ConfigSyntaxError, Problem
from .formats import (
    ConfigFormat,
    config_format_named,
    config_format_of,
    names_a_config,
)
from .path import child, parts
from .process.interrupts import leaving_nothing_open
from .process.user_warning import warn_user
from .short_text import short_repr
from .spelling import did_you_mean
from .storage.missing import missing_file
from .storage.opening import read_file
from .storage.replacement import write_text
from .tree import is_mapping_value
from .validation.readback import check_read_back
from .validation.validate import build

T = TypeVar("T")
Source = str | os.PathLike[str] | Mapping[str, Any] | None

MAX_BYTES = 64 * 2**20
"""The largest file that is read as a configuration, in bytes."""


def load(
    cls: type[T],
    file: Source = None,
    overrides: Iterable[str] = (),
    ignore_extra: bool = False,
    *,
    key: str | None = None,
    ctx: Ctx | None = None,
) -> T:
    """Return the config in ``file``, whose suffix determines the format.

    ``overrides`` are strings ``path=value``; ``key`` is the path of the part of the
    file to read; ``ignore_extra`` drops fields that ``cls`` does not have; ``ctx`` is a
    dict passed to `Serializable.deserialize`. Instead of a file a mapping or
    OmegaConf's ``DictConfig`` is accepted; None gives the defaults. Raises ConfigError
    with every problem and its path.
    """
    check_config_class(cls, "load(Config, file)")
    check_flag("ignore_extra", ignore_extra)
    name, form = "", None
    if isinstance(file, bytes):
        file = os.fsdecode(file)
    if not isinstance(file, str | os.PathLike):
        tree = {} if file is None else _container(file)
    else:
        tree, form = read_tree(file)
        name = os.fsdecode(file)
    part = _part(tree, key, name)
    if form is not None and form.name == "yaml":
        _warn_of_interpolations(part, name, key or "")
    config: T = build(
        cls,
        part,
        source=name,
        overrides=overrides,
        ignore_extra=ignore_extra,
        ctx=ctx,
        is_plain=form is not None and not form.has_structs,
    )
    return config


def loads(
    cls: type[T],
    text: str,
    format: str = "ron",
    overrides: Iterable[str] = (),
    ignore_extra: bool = False,
    *,
    ctx: Ctx | None = None,
) -> T:
    """Return the config in ``text``, which is RON, JSON or YAML (``format``)."""
    check_config_class(cls, "loads(Config, text)")
    check_flag("ignore_extra", ignore_extra)
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(
            f"loads: the text is {short_repr(text)}, expected a str. "
            "load(Config, file) reads a file"
        )
    form = config_format_named(format)
    config: T = build(
        cls,
        form.read(text),
        overrides=overrides,
        ignore_extra=ignore_extra,
        ctx=ctx,
        is_plain=not form.has_structs,
    )
    return config


class DumpOptions(TypedDict, total=False):
    """The options of `dump` besides the object and the file."""

    format: str | None
    elide_defaults: bool
    ctx: Ctx | None


@overload
def dump(obj: object, file: None = None, **options: Unpack[DumpOptions]) -> str: ...


@overload
def dump(
    obj: object, file: str | os.PathLike[str], **options: Unpack[DumpOptions]
) -> None: ...


@overload
def dump(
    obj: object,
    file: str | os.PathLike[str] | None,
    **options: Unpack[DumpOptions],
) -> str | None: ...


@leaving_nothing_open
def dump(
    obj: object,
    file: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    elide_defaults: bool = False,
    ctx: Ctx | None = None,
) -> str | None:
    """Write ``obj`` to ``file`` atomically; without a file return the text.

    The suffix or ``format`` determines the format: "ron" (the default for text), "json"
    or "yaml". ``elide_defaults`` leaves out fields at their default, and ``ctx`` is
    passed to `Serializable.deserialize` when the text is read back. Raises ConfigError,
    with its path, for a value that would be read as a different one.
    """
    if file is None:
        return dumps(obj, format or "ron", elide_defaults=elide_defaults, ctx=ctx)
    if not isinstance(file, str | bytes | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise TypeError(
            f"dump: the second argument is {short_repr(file)}, expected a file: "
            "dump(config, 'config.yaml')"
        )
    path = Path(os.fsdecode(file))
    form = _format_to_write(path, format)
    write_text(path, check_text(obj, form, elide_defaults=elide_defaults, ctx=ctx))
    return None


def dumps(
    obj: object,
    format: str = "ron",
    *,
    elide_defaults: bool = False,
    ctx: Ctx | None = None,
) -> str:
    """Return ``obj`` as RON, JSON or YAML text, optionally without defaults.

    Schedules are written as their text, enums as their value; a versioned config begins
    with its version. Raises ConfigError, with its path, for a value that would be read
    as a different one.
    """
    form = config_format_named(format)
    text = check_text(obj, form, elide_defaults=elide_defaults, ctx=ctx)
    return text.removesuffix("\n")


def check_text(
    obj: object, form: ConfigFormat, *, elide_defaults: bool, ctx: Ctx | None = None
) -> str:
    """Return ``obj`` as text, after checking that reading it gives ``obj`` again.

    Raises ConfigError, with its path, for a value that would be read as a different
    one.
    """
    check_flag("elide_defaults", elide_defaults)
    text = form.write(encode(obj, elide_defaults=elide_defaults))
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError("", [Problem("", f"larger than {MAX_BYTES >> 20} MiB")])
    check_read_back(obj, form.read(text), ctx=ctx)
    return text


def _format_to_write(path: Path, name: str | None) -> ConfigFormat:
    """Return the format called ``name``, which must match the suffix of the file.

    Raises ValueError if it does not, since the file could not be read by its suffix.
    """
    form = config_format_of(path)
    if name is not None and config_format_named(name) is not form:
        raise ValueError(
            f"{path} would be read as {form.name}, but format={name!r} was asked for; "
            "leave it out, or choose another suffix"
        )
    return form


def check_config_class(cls: object, example: str) -> None:
    """Raise TypeError for a string, a file or a config where its class is expected.

    ``example`` shows the right call.
    """
    if isinstance(cls, type):
        return
    if isinstance(cls, str | bytes | os.PathLike | Mapping) or is_dataclass(cls):
        raise TypeError(
            f"{example.partition('(')[0]}: the first argument is {short_repr(cls)}, "
            f"expected a config class: {example}"
        )


def read_tree(file: str | os.PathLike[str]) -> tuple[Any, ConfigFormat]:
    """Return the content of ``file``, not validated by any class, and its format."""
    path = file if isinstance(file, Path) else Path(os.fsdecode(file))
    form = config_format_of(path)
    try:
        return form.read(read_text(path)), form
    except ConfigSyntaxError as error:
        raise error.within(str(path)) from None
    except FileNotFoundError as error:
        raise missing_file(str(path), names_a_config, "a configuration") from error


def read_text(path: Path) -> str:
    """Return the text of a file. ConfigSyntaxError if it is too large or not UTF-8."""
    return text_of(read_file(path, MAX_BYTES))


def text_of(data: bytes) -> str:
    """Return the text of a file. ConfigSyntaxError if it is too large or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise ConfigSyntaxError(f"larger than {MAX_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"byte {data[error.start]:#04x} is not UTF-8 text"
        raise ConfigSyntaxError(message, line, column) from None


def _part(tree: Any, key: str | None, source: str) -> Any:
    """Return the part of ``tree`` at ``key``."""
    if key is None:
        return tree
    path = ""
    for name in parts(key):
        names = [str(n) for n in tree] if is_mapping_value(tree) else []
        path = child(path, name)
        if name not in names:
            hint = did_you_mean(name, names) or f" Found: {', '.join(names) or 'none'}."
            raise ConfigError(source, [Problem(path, f"no such key.{hint}")])
        tree = next(item for n, item in tree.items() if str(n) == name)
    return {} if tree is None else tree


def _warn_of_interpolations(tree: object, file: str, path: str) -> None:
    """Warn of the first string that OmegaConf, but not this library, would resolve."""
    waiting = [(path, tree)]
    # A value that several YAML aliases refer to is checked only once.
    seen_ids = set[int]()
    while waiting:
        path, item = waiting.pop()
        if id(item) in seen_ids:
            continue
        seen_ids.add(id(item))
        if isinstance(item, str) and _INTERPOLATION.search(item):
            warn_user(
                f"{file}: {path}: {short_repr(item)} is not resolved. If an "
                "interpolation is meant, pass OmegaConf.load(file) instead of "
                "the file."
            )
            return
        pairs: Iterable[tuple[object, object]] = ()
        if isinstance(item, dict | list):
            pairs = item.items() if isinstance(item, dict) else enumerate(item)
        waiting += reversed([(child(path, str(name)), part) for name, part in pairs])


_INTERPOLATION = re.compile(r"(?<!\\)\$\{[\w.]+(:[^}]*)?\}")
"""The name of another field, or of a resolver with its arguments."""


def _is_omegaconf(source: object) -> bool:
    return type(source).__module__.split(".")[0] == "omegaconf"


def _container(source: Any) -> Any:
    """Return a tree of plain containers, with OmegaConf's interpolations resolved."""
    if not _is_omegaconf(source):
        try:
            # A source may be anything that dict accepts: pairs and pydantic models too.
            return source if type(source) is dict else dict(source)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"load: found {short_repr(source)}, expected a file, a dict or None, "
                "and then the overrides: load(Config, 'config.yaml', ['a.b=1'])"
            ) from error
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(source, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        path = str(getattr(error, "full_key", "") or "")
        message = str(getattr(error, "msg", "") or error).split("\n", 1)[0]
        raise ConfigError("", [Problem(path, message)]) from None
