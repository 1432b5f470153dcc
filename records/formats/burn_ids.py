"""IDs of parameters: the same 64 bits in Burn's files and in ours.

Burn stores them as a number in `.bpk`, and elsewhere as the base32 of their bytes with
the digits 0 to v, where ours are a to z and 2 to 7; the least significant byte comes
first.
"""

import base64
import string

from ..entries.entry import ParamId

_THEIRS = string.digits + string.ascii_lowercase[:22]
_OURS = string.ascii_lowercase + "234567"
_TO_OURS = str.maketrans(_THEIRS, _OURS)

_N_DIGITS, _N_OLD_DIGITS = 13, 10
"""Digits of an ID, and of one from before Burn 0.14, which had 6 bytes."""


def id_of_number(number: int) -> ParamId:
    """Return the ID for ``number``, below 2 to the power of 64, in `.bpk`."""
    digits = base64.b32encode(number.to_bytes(8, "little")).decode().lower()
    return ParamId(digits[:_N_DIGITS])


def number_of_id(param_id: str) -> int:
    """Return the number of an ID in `.bpk`."""
    digits = param_id.upper() + "=" * (-_N_DIGITS % 8)
    return int.from_bytes(base64.b32decode(digits), "little")


def id_of_text(text: str) -> ParamId | None:
    """Return the ID that Burn writes as ``text``; None for an early UUID.

    Burn's first versions hashed a UUID, so that no other program knows that ID.
    """
    digits = text.translate(_TO_OURS) if set(text) <= set(_THEIRS) else ""
    if len(digits) == _N_OLD_DIGITS:
        digits += _OURS[0] * (_N_DIGITS - _N_OLD_DIGITS)
    return ParamId(digits) if ParamId.is_valid(digits) else None
