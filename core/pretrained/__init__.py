"""Modules as folders of the ecosystem's layout, written and read."""
