"""Files on disk: opened without waiting, replaced whole or not at all."""
