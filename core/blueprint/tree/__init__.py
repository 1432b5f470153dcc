"""The constructions of a blueprint, and their arguments."""
