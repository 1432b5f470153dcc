"""What is constructed, and of what."""
