"""A module as a record in a file, and back: what both sides say that they are."""
