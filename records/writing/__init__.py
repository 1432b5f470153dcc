"""Payloads on their way into a file: converted, checked, hashed."""
