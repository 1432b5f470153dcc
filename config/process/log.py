"""The logger `burnish`: silent unless the program sets up logging."""

import logging

LOG = logging.getLogger("burnish")
"""Logs at level DEBUG what was written, opened, verified, compiled and fell back."""

# Without a handler, Python would print warnings even if the program never set up
# logging.
LOG.addHandler(logging.NullHandler())
