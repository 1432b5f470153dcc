"""The fields of a configuration class."""
