"""What stands in any file or folder that a person points at."""
