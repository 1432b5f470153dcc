"""Facts about classes and trees of modules, on which the rest of core stands."""
