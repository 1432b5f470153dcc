"""A module as a record: entries, identity, building without initialization, loading."""
