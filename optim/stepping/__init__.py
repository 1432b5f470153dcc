"""One step of an optimizer: prepared as a whole, then written."""
