"""Blueprints: modules that are configured first and built later."""

from .blueprint import Blueprint
from .construction.forward_parts import FromLogs, LogTensor, Parallel
from .edits.computed import Computed
from .edits.marks import after_build, after_init, before_build, register_style, stateful

__all__ = [
    "Blueprint",
    "Computed",
    "FromLogs",
    "LogTensor",
    "Parallel",
    "after_build",
    "after_init",
    "before_build",
    "register_style",
    "stateful",
]
