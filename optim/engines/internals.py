"""What torch uses itself and does not export."""

from typing import Any

import torch

internals: Any = torch
"""torch, with the names that begin with an underscore."""
