"""Pages for browsers: one file each, with all that it needs."""
