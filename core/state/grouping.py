"""Many paths shown as few: ``layers.{0...23}.weight`` for those of 24 layers."""

from collections.abc import Iterable


def group_paths(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return short names of ``paths`` and the paths that each stands for, in order.

    Paths that differ only in their first number are grouped, if the numbers are a
    range.
    """
    families: dict[tuple[str, str], list[str]] = {}
    for path in paths:
        head, number, tail = _split(path)
        families.setdefault((head, tail) if number else (path, ""), []).append(path)
    groups: dict[str, list[str]] = {}
    for (head, tail), members in families.items():
        numbers = sorted(int(_split(path)[1] or 0) for path in members)
        lowest, highest = numbers[0], numbers[-1]
        if len(members) > 1 and numbers == list(range(lowest, highest + 1)):
            groups[f"{head}{{{lowest}...{highest}}}{tail}"] = members
        else:
            groups.update((path, [path]) for path in members)
    return groups


def _split(path: str) -> tuple[str, str, str]:
    parts = path.split(".")
    for i, part in enumerate(parts):
        if part.isascii() and part.isdecimal():
            head, tail = ".".join(parts[:i]), ".".join(parts[i + 1 :])
            return head + "." if i else "", part, "." + tail if tail else ""
    return path, "", ""
