"""Errors of blueprints; each names the path, and nothing was changed.

ValueError
└── BlueprintError
    ├── SettingError              a name, a path or a value that does not fit
    │   └── WrongTypeError        (also a TypeError) a value of the wrong type
    ├── ConstructionError         a constructor raised
    │   └── WrongArgumentsError   (also a TypeError) it raised a TypeError
    ├── NotRepeatedError          the constructors did something else the second time
    └── FormatError               a dict that does not describe a blueprint
RuntimeError
└── AlreadyBuiltError             a blueprint that was built in place is configured
"""


class BlueprintError(ValueError):
    """A blueprint cannot do this; ``path`` is the location, "" for the whole."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path, self.message = path, message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SettingError(BlueprintError):
    """A name, a path or a value does not fit; the blueprint is unchanged."""


class WrongTypeError(SettingError, TypeError):
    """A value is not of the type that the constructor declares."""


class ConstructionError(BlueprintError):
    """A constructor raised; its error is the cause."""


class WrongArgumentsError(ConstructionError, TypeError):
    """A constructor raised a TypeError."""


class NotRepeatedError(BlueprintError):
    """The constructors did something else than the last time they ran."""


class FormatError(BlueprintError):
    """A dict does not describe a blueprint; nothing was built."""


class AlreadyBuiltError(RuntimeError):
    """A blueprint that was built in place cannot change any more."""


def constructor_error(path: str, cls: type, error: Exception) -> ConstructionError:
    """Return the error for a constructor of ``cls`` that raised ``error``."""
    kind = WrongArgumentsError if isinstance(error, TypeError) else ConstructionError
    reason = f"{type(error).__name__}: {error}"
    return kind(path, f"the constructor of {cls.__qualname__} raised {reason}")
