"""Modules built for their record, without running initializers."""
