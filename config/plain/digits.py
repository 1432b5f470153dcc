"""Integers of any length as decimal digits, up to a limit of our own."""

MOST_DIGITS = 4000
"""Decimal digits of an integer; reading it takes the square of their number."""
_PIECE = 600
"""Digits that Python converts, whatever `sys.set_int_max_str_digits` says."""


def is_digits(content: object) -> bool:
    """Return whether ``content`` is what `digits_of` could have returned."""
    return (
        isinstance(content, str)
        and len(content) <= MOST_DIGITS
        and content.lstrip("-").isdecimal()
        and content.isascii()
        and content.count("-") == content.startswith("-")
    )


def digits_of(value: int, path: str) -> str:
    """Return ``value`` in decimal digits; TypeError if they are too many."""
    sign, quotient, pieces = "-" if value < 0 else "", abs(value), list[str]()
    while quotient and len(pieces) * _PIECE <= MOST_DIGITS:
        quotient, piece = divmod(quotient, 10**_PIECE)
        pieces.append(f"{piece:0{_PIECE}}")
    digits = sign + "".join(reversed(pieces)).lstrip("0")
    if quotient or len(digits) > MOST_DIGITS:
        raise TypeError(
            f"{path}: an int of over {MOST_DIGITS:,} digits; store value.to_bytes(...) "
            "or its digits as a str"
        )
    return digits


def integer_of(digits: str) -> int:
    """Return the integer of these decimal digits."""
    sign = -1 if digits.startswith("-") else 1
    digits, value = digits.lstrip("-"), 0
    for start in range(0, len(digits), _PIECE):
        piece = digits[start : start + _PIECE]
        value = value * 10 ** len(piece) + int(piece)
    return sign * value
