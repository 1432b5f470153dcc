"""A module as data: arguments captured, told as a plain dict, and built from it."""
