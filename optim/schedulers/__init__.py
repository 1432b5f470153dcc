"""Learning rates over the steps of a run; each schedule is a record."""
