"""HyperState: config and state of a run as texts, large objects as records."""
