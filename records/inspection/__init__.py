"""Views of a record: statistics of its values, and its tree."""
