"""The content of a file before its payloads."""
