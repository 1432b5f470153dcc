"""Constructors that run for a blueprint."""
