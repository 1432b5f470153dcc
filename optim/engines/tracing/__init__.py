"""A step on stand-in tensors, recorded as the operations that it does."""
