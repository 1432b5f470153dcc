"""The requests that a blueprint accepts."""
