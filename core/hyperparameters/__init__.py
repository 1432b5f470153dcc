"""A module as data: captured arguments, written as a plain dict, and built from it."""
