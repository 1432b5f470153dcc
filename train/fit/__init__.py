"""``burnish fit``: a run described by a file."""
