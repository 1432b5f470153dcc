"""What a record looks like: statistics of its values, and its tree."""
