"""Entries, the plain data beside them, and what is done with both."""
