"""Facts about module classes and module trees, used by the rest of core."""
