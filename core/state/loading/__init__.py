"""Loading a record into a module: planned, checked, and all or nothing."""
