"""The state of an optimizer as a record and as a state dict of torch."""
