"""``burnish fit``: a run that a file describes."""
