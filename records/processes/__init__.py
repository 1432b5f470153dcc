"""Several processes that save, load or step together."""
