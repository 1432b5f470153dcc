"""`@burnish.module` and `burnish.Module`: records and hyperparameters for a class."""

from collections.abc import Callable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Unpack,
    cast,
    overload,
)

from torch import nn

from ..config.patterns import Patterns, as_patterns, matchers
from ..config.rewriting.rewrite_rule import check_rules
from ..records.background_saves import STAGING, SnapshotKind
from ..records.calls import explain_calls
from .blueprint.lightning import reopen_blueprints
from .hyperparameters.capture import ask_back, capture
from .hyperparameters.declared import argument_hints, declared_type, is_constrained
from .hyperparameters.hparams_node import HparamsDict
from .hyperparameters.reader import from_hyperparameters
from .hyperparameters.record_metadata import arguments_by_name, factory_of
from .hyperparameters.structure import note_structure
from .hyperparameters.writer import get_hparams
from .modules.classes import by_class
from .modules.module_argument import method_of_modules
from .modules.registry import register_class
from .modules.signature import parameters_of
from .modules.versions import (
    check_inherited_rules,
    rules_with_inherited,
)
from .persistence.loading import build_from_record, module_record
from .persistence.loading import load_record as _load_record
from .persistence.saving import RecordOfClass
from .persistence.saving import into_record as _into_record
from .persistence.saving import save_record as _save_record
from .state.loading.allowed import Allowed

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from ..records.flat_record import FlatRecord
    from ..records.io.remote.url import Place
    from ..records.io.save_handle import SaveHandle
    from ..records.io.sink import Destination, File
    from ..records.readable import Readable
    from ..records.report import LoadReport
    from .blueprint import Blueprint
    from .persistence.loading import ModuleLoadOptions
    from .persistence.saving import ModuleSaveOptions
    from .pretrained.pretrained import FolderOptions, LoadOptions

_ModuleClass = TypeVar("_ModuleClass", bound=type[nn.Module])


class _Methods:
    """The methods of a decorated class; each calls the function of the same name."""

    @method_of_modules
    def into_record(self) -> "FlatRecord":
        """Return a record of the live tensors: it changes as the module does.

        Its ``clone()`` is a snapshot.
        """
        return _into_record(cast(nn.Module, self))

    @overload
    def save_record(self, **options: "Unpack[ModuleSaveOptions]") -> bytes: ...
    @overload
    def save_record(
        self,
        file: "File",
        *,
        wait: Literal[True] = True,
        **options: "Unpack[ModuleSaveOptions]",
    ) -> None: ...
    @overload
    def save_record(
        self,
        file: "os.PathLike[str]",
        *,
        wait: Literal[False],
        snapshot: SnapshotKind = "copy",
        staging: int = STAGING,
        **options: "Unpack[ModuleSaveOptions]",
    ) -> "SaveHandle[Path]": ...
    @overload
    def save_record(
        self,
        file: "File",
        *,
        wait: Literal[False],
        snapshot: SnapshotKind = "copy",
        staging: int = STAGING,
        **options: "Unpack[ModuleSaveOptions]",
    ) -> "SaveHandle[Place]": ...
    @method_of_modules
    @explain_calls("net.save_record(file{})", "write", is_home=False)
    def save_record(
        self,
        file: "Destination" = ...,
        *,
        wait: bool = True,
        snapshot: SnapshotKind = "copy",
        staging: int = STAGING,
        **options: "Unpack[ModuleSaveOptions]",
    ) -> "bytes | SaveHandle[Path] | SaveHandle[Place] | None":
        """Write the record to ``file``, or return it as bytes if ``file`` is omitted.

        The options are those of `burnish.save_record`.
        """
        module, save = cast(nn.Module, self), cast(Any, _save_record)
        saved: bytes | SaveHandle[Path] | SaveHandle[Place] | None = save(
            module, file, wait=wait, snapshot=snapshot, staging=staging, **options
        )
        return saved

    @method_of_modules
    @explain_calls("net.load_record(file{})", "read", is_home=False)
    def load_record(
        self, source: "Readable", **options: "Unpack[ModuleLoadOptions]"
    ) -> "LoadReport":
        """Fill the module with a record, or raise and leave it exactly as it was.

        The options are those of `burnish.load_record`.
        """
        return _load_record(cast(nn.Module, self), source, **options)

    @classmethod
    def from_record(cls, source: "Readable", /, *args: Any, **kwargs: Any) -> Self:
        """Return a module built without initialization and filled from the record.

        The arguments are the constructor's; omitted ones come from the file's metadata,
        and those that differ from it are listed in the report. A file without
        hyperparameters of this class has none. See `burnish.from_record`.
        """
        record = module_record(source)
        module_class = cast(type[nn.Module], cls)
        build = factory_of(module_class, record, args, kwargs)
        allowed = Allowed()
        if args or kwargs:
            passed = arguments_by_name(module_class, args, kwargs)
            allowed = Allowed(arguments=frozenset(passed))
        return cast(Self, build_from_record(build, record, allowed))

    @classmethod
    def from_hyperparameters(cls, hparams: Mapping[str, Any]) -> Self:
        """Return a module built by its constructor from the dict ``hparams``.

        See `burnish.from_hyperparameters`; this class itself is trusted.
        """
        return cast(Self, from_hyperparameters(hparams, cast(type[nn.Module], cls)))

    @method_of_modules
    def save_pretrained(
        self, folder: "str | os.PathLike[str]", **options: "Unpack[FolderOptions]"
    ) -> None:
        """Write the module into ``folder``: `config.json` and `model.safetensors`.

        The options are those of `burnish.save_pretrained`.
        """
        from .pretrained.pretrained import save_pretrained

        save_pretrained(cast(nn.Module, self), folder, **options)

    @classmethod
    def from_pretrained(
        cls, folder: "str | os.PathLike[str]", **options: "Unpack[LoadOptions]"
    ) -> Self:
        """Return the module in ``folder``, built without initialization and filled.

        The options are those of `burnish.from_pretrained`; the class is trusted.
        """
        from .pretrained.pretrained import from_pretrained

        module_class = cast(type[nn.Module], cls)
        return cast(Self, from_pretrained(folder, module_class, **options))

    @classmethod
    def blueprint(cls, /, *args: Any, **kwargs: Any) -> "Blueprint[Self]":  # type: ignore[type-var]  # whoever has this is a module
        """Return the class and the arguments, to be configured and built later."""
        from .blueprint import Blueprint

        return Blueprint(cls, *args, **kwargs)  # type: ignore[type-var]  # whoever has this is a module

    @property
    def hparams(self) -> HparamsDict:
        """The hyperparameters of the module: its class and constructor arguments."""
        if "hparams" in self.__dict__:
            return cast(HparamsDict, self.__dict__["hparams"])
        return get_hparams(cast(nn.Module, self))

    @hparams.setter
    def hparams(self, value: Any) -> None:
        # Many modules store their arguments under this name; theirs take precedence.
        self.__dict__["hparams"] = value


ask_back(_Methods.__dict__["hparams"])

_set: Callable[[Any, str, Any], None] = setattr

_OURS = ("into_record", "save_record", "load_record", "from_record")
"""A class that defines one of these itself cannot be decorated."""

_MORE = (
    *("from_hyperparameters", "save_pretrained", "from_pretrained", "hparams"),
    "blueprint",
)
"""A class that defines or inherits one of these keeps it."""


class _HparamsOfClass:
    """The attribute ``Hparams`` of a decorated class that does not define it itself."""

    def __get__(self, module: Any, cls: type[nn.Module]) -> Any:
        return _hparams_class(cls)


@by_class
def _checker_of(cls: type[nn.Module]) -> Callable[[Mapping[str, Any]], None] | None:
    """Return the validator of the constructor's arguments of ``cls``.

    None for a class that declares none: annotations alone are not validated.
    """
    hints = argument_hints(cls)
    is_bounded = any(is_constrained(hints[name]) for name in parameters_of(cls))
    if declared_type(cls) is None and not is_bounded:
        return None
    from .hyperparameters.hparams_class import checker

    return checker(cls)


@by_class
def _hparams_class(cls: type[nn.Module]) -> Any:
    from .hyperparameters.hparams_class import hparams_class

    return hparams_class(cls)


@overload
def module(cls: _ModuleClass) -> _ModuleClass: ...
@overload
def module(
    cls: None = None,
    *,
    name: str | None = None,
    version: int = 0,
    upgrade_rules: Mapping[int, Sequence[Any]] | None = None,
    skip: Patterns = (),
) -> Callable[[_ModuleClass], _ModuleClass]: ...
def module(
    cls: Any = None,
    *,
    name: str | None = None,
    version: int = 0,
    upgrade_rules: Mapping[int, Sequence[Any]] | None = None,
    skip: Patterns = (),
) -> Any:
    """Give a module class records, captured hyperparameters and their methods.

    ``name`` is the name of the class in files, wherever it moves; ``version`` and
    ``upgrade_rules`` define how files of older versions are read; ``skip`` are patterns
    of fields that are never stored. ``forward`` and the class itself are unchanged, and
    inherited attributes of the same names are kept.
    """
    if cls is not None:
        return _decorate(cls, name, version, upgrade_rules, skip)
    return lambda cls: _decorate(cls, name, version, upgrade_rules, skip)


class Module(nn.Module, _Methods):
    """``nn.Module`` with the methods of `module`, visible to type checkers.

    The decorator's arguments go into the class statement: ``class Net(burnish.Module,
    name="acme/net")``.
    """

    Record: ClassVar[type["FlatRecord"]] = cast("type[FlatRecord]", RecordOfClass())
    Hparams: ClassVar[Any] = _HparamsOfClass()
    _burnish_is_base: ClassVar[bool] = True
    """Whether the options are in the class statement, and errors show them there."""
    _burnish_skip: ClassVar[tuple[Any, ...]] = ()
    _burnish_version: ClassVar[int] = 0
    _burnish_rules: ClassVar[Mapping[int, Sequence[Any]]] = {}
    __jit_unused_properties__: ClassVar[list[str]] = ["hparams"]

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: int = 0,
        upgrade_rules: Mapping[int, Sequence[Any]] | None = None,
        skip: Patterns = (),
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        _decorate(cls, name, version, upgrade_rules, skip)


def _decorate(
    cls: Any,
    name: str | None,
    version: int,
    rules: Mapping[int, Sequence[Any]] | None,
    skip: Patterns,
) -> Any:
    if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
        raise TypeError(f"@burnish.module decorates module classes, got {cls!r:.80}")
    if isinstance(version, bool) or not isinstance(version, int) or version < 0:  # pyright: ignore[reportUnnecessaryIsInstance]  # users pass anything
        raise ValueError(f"version must be an int of at least 0, got {version!r}")
    clashes = [n for n in _OURS if n in cls.__dict__ and not _is_ours(cls.__dict__[n])]
    if clashes:
        raise TypeError(
            f"{cls.__qualname__} defines {clashes[0]!r}, which @burnish.module adds; "
            "rename it, or leave the class undecorated and use the plain functions: "
            f"burnish.{'save_record' if clashes[0] == 'into_record' else clashes[0]}"
            "(...)"
        )
    if isinstance(vars(cls).get("upgrade_rules"), Mapping):
        raise TypeError(
            f"{cls.__qualname__}.upgrade_rules is an attribute, which is "
            "ignored. Pass the rules in the class statement, or to the "
            f"decorator: class {cls.__qualname__}(burnish.Module, version=1, "
            "upgrade_rules=...)"
        )
    matchers(skip)  # an invalid pattern is refused here, not at the first save
    _add_members(cls)
    if skip or "_burnish_skip" not in cls.__dict__:
        # Fields that a parent skips are skipped here too, since they are inherited.
        inherited = getattr(cls, "_burnish_skip", ())
        _set(cls, "_burnish_skip", (*inherited, *as_patterns(skip)))
    check_rules(cls, version, {} if rules is None else rules)
    # A class without a version takes that of its parents, even if it changes later.
    if version:
        all_rules = rules_with_inherited(cls, version, rules or {})
        _set(cls, "_burnish_version", version)
        _set(cls, "_burnish_rules", all_rules)
    elif "_burnish_version" not in vars(cls):
        check_inherited_rules(cls)
    capture(cls, _checker_of, note_structure)
    _capture_subclasses(cls)
    register_class(cls, name=name)
    return cls


def _add_members(cls: Any) -> None:
    for member in (*_OURS, *_MORE):
        attribute = getattr(cls, member, None)
        if attribute is None:
            setattr(cls, member, _Methods.__dict__[member])
    # Lightning would build the class again, and lose what its blueprint configured.
    if hasattr(cls, "load_from_checkpoint"):
        reopen_blueprints(cls)
    if not hasattr(cls, "Record"):
        cls.Record = RecordOfClass()
    if not hasattr(cls, "Hparams"):
        cls.Hparams = _HparamsOfClass()
    # TorchScript compiles properties, and cannot compile this one.
    if cls.hparams is _Methods.__dict__["hparams"]:
        unused: list[str] = list(getattr(cls, "__jit_unused_properties__", ()))
        if "hparams" not in unused:
            cls.__jit_unused_properties__ = [*unused, "hparams"]


def _is_ours(value: object) -> bool:
    return any(value is method for method in vars(_Methods).values())


def _capture_subclasses(cls: Any) -> None:
    """Make undecorated subclasses capture their own arguments as well."""
    # Module hooks into its subclasses itself, and one hook per class is enough.
    if issubclass(cls, Module) or getattr(cls, "_burnish_watches", False):
        return
    inherited = cls.__dict__.get("__init_subclass__")

    def __init_subclass__(sub: Any, /, **kwargs: Any) -> None:
        if inherited is None:
            super(cls, sub).__init_subclass__(**kwargs)
        else:
            inherited.__func__(sub, **kwargs)
        capture(sub, _checker_of, note_structure)

    cls.__init_subclass__ = classmethod(__init_subclass__)
    cls._burnish_watches = True
