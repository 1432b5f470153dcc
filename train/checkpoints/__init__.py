"""Checkpoints for any loop: a folder that appears whole, with a record per part."""
