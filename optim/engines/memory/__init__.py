"""Where tensors of parameters and states lie in memory, and what they share."""
