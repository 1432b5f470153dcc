"""Entries, the plain data beside them, and operations on both."""
