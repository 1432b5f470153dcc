"""One module per file format; `records/format.py` imports them when needed."""
