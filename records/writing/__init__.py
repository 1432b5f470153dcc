"""Writing of payloads to a file: converted, checked and hashed."""
