"""What may be asked of a blueprint."""
