"""Text formats of configurations, by name and by suffix."""

from .format import ConfigFormat, format_named, format_of

__all__ = ["ConfigFormat", "format_named", "format_of"]
