"""Blueprints as data."""
