"""Pages for browsers: single files without external resources."""
