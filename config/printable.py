"""Names from files as a terminal may show them: what would steer it is spelled out."""


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with an escape for each character that is unseen.

    Control characters, line ends, marks of direction and halves of surrogates, with
    which a name could move the cursor or pose as another one, become ``\x1b``,
    ``\n``, ``\u202e``. Letters of every alphabet stay.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def printable_name(name: str) -> str:
    """Return `printable` of a name, in quotes where one would not see where it ends."""
    # All other spaces are spelled out.
    is_clear = name and name == name.strip(" ")
    return printable(name if is_clear else f"'{name}'")


def printable_lines(text: str) -> str:
    """Return `printable` of each line of ``text``."""
    return "\n".join(map(printable, text.splitlines()))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
