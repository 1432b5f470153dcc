"""Blueprints: modules that are configured first and built then."""

from .blueprint import Blueprint
from .hooks import after_build, after_init, before_build, stateful
from .styles import register_style

__all__ = [
    "Blueprint",
    "after_build",
    "after_init",
    "before_build",
    "register_style",
    "stateful",
]
