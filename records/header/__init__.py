"""What a file says before its payloads."""
