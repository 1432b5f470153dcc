"""What is known of tensors: dtypes, values, memory, and what torch does not promise."""
