"""From a raw tree to a checked object, and back to see that it is the same."""
