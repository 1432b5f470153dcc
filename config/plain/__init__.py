"""The one codec of values: kinds, their spellings, and the walk over containers."""
