"""Text formats of configurations, by name and by suffix."""

from .format import (
    ConfigFormat,
    config_format_named,
    config_format_of,
    names_a_config,
)

__all__ = [
    "ConfigFormat",
    "config_format_named",
    "config_format_of",
    "names_a_config",
]
