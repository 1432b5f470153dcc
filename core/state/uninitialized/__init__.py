"""Modules built for a record, without running initializers."""
