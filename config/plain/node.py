"""What plain data is in every language of files, before anything is known of it."""

import math
from typing import Any, TypeAlias

Node: TypeAlias = Any
"""Plain data of some language; unknown until it is read."""

AS_THEY_ARE: frozenset[type] = frozenset({type(None), bool, int, float, str})
"""What every language's parser gives as it is."""

NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
"""The floats that JSON has no digits for, by the names that files give them."""
