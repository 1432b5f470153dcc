"""Checkpoints of any loop: a folder that appears whole, with a record for each part."""
