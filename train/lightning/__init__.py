"""Models, data and checkpoints for Lightning."""
