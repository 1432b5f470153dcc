"""The memory of parameters' and states' tensors, and what they share."""
