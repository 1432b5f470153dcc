"""A step run on stand-in tensors, recorded as a list of operations."""
