"""Folders of pretrained modules in the ecosystem's layout, written and read."""
