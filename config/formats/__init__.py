"""Text formats of configurations, by name and by suffix."""

from .format import Format, format_named, format_of

__all__ = ["Format", "format_named", "format_of"]
