"""Files on disk: opened without blocking, and replaced atomically."""
