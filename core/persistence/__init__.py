"""A module as a record in a file, and back, with a comparison of their descriptions."""
