"""The logger `burnish`: silent unless the program sets up logging."""

import logging

LOG = logging.getLogger("burnish")
"""What was written, opened, verified, compiled and fell back, at level DEBUG."""

# Without a handler of its own, Python would print warnings of a program that has never
# heard of loggers.
LOG.addHandler(logging.NullHandler())
