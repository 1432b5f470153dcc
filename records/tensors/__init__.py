"""Facts about tensors: dtypes, values, memory, and torch's internals."""
