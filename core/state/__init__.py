"""A module as a record: entries, identity, building without init, loading, saving."""
