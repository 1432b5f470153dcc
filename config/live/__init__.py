"""Edits of the config of a run in progress."""
