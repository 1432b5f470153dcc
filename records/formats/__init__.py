"""One file format a module; `records/format.py` imports them when they are needed."""
