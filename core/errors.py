"""Errors of hyperparameters.

RecordError, ValueError
└── HyperparameterError       they do not describe a module that can be built
    └── UnknownClassError     they name a class that is not registered

A value that no file can hold is a TypeError that names the argument.
"""

from ..records.errors import RecordError


class HyperparameterError(RecordError, ValueError):
    """Hyperparameters do not describe a module; nothing was built."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(path, message)
        self.path, self.message = path, message

    def __str__(self) -> str:
        return f"{self.path:.200}: {self.message}" if self.path else self.message


class UnknownClassError(HyperparameterError):
    """Hyperparameters name a class that is not in the registry."""
