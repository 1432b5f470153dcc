"""Validation of a raw tree to an object, and of what is read back from a file."""
