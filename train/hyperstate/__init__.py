"""HyperState: config and state of a run as text files, large objects as records."""
